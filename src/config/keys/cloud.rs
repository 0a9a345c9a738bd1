//! Cloud providers: long lists that are known by name only.

use crate::config::schema::Shape::{self, Any, Flag, Names, Section, Text};
use crate::config::schema::{Key, part};

pub(super) const CLOUD_PROVIDER: &[Key] = &[
    part("name", Text),
    part("useInstanceMetadataHostname", Flag),
    part("awsCloudProvider", Section(AWS)),
    part("azureCloudProvider", Names(AZURE)),
    part("openstackCloudProvider", Section(OPENSTACK)),
    part("vsphereCloudProvider", Section(VSPHERE)),
    part("harvesterCloudProvider", Section(&[part("cloud_config", Text)])),
    part("customCloudProvider", Text),
];

const AWS: &[Key] = &[
    part(
        "global",
        Names(
            "zone vpc subnet-id routetable-id role-arn kubernetes-cluster-tag kubernetes-cluster-id disable-security-group-ingress \
            elb-security-group disable-strict-zone-check",
        ),
    ),
    part(
        "service_override",
        Shape::Named(&[
            part("service", Text),
            part("region", Text),
            part("url", Text),
            part("signing-region", Text),
            part("signing-method", Text),
            part("signing-name", Text),
        ]),
    ),
];

const AZURE: &str = "cloud tenantId subscriptionId resourceGroup location vnetName vnetResourceGroup subnetName securityGroupName \
    securityGroupResourceGroup routeTableName primaryAvailabilitySetName vmType primaryScaleSetName aadClientId aadClientSecret \
    aadClientCertPath aadClientCertPassword cloudProviderBackoff cloudProviderBackoffRetries cloudProviderBackoffExponent \
    cloudProviderBackoffDuration cloudProviderBackoffJitter cloudProviderRateLimit cloudProviderRateLimitQPS \
    cloudProviderRateLimitBucket useInstanceMetadata useManagedIdentityExtension userAssignedIdentityID \
    maximumLoadBalancerRuleCount loadBalancerSku excludeMasterFromStandardLB tags";

const OPENSTACK: &[Key] = &[
    part(
        "global",
        Names("auth-url username user-id password tenant-id tenant-name trust-id domain-id domain-name region ca-file"),
    ),
    part(
        "load_balancer",
        Names(
            "lb-version use-octavia subnet-id floating-network-id lb-method lb-provider create-monitor monitor-delay monitor-timeout \
            monitor-max-retries manage-security-groups",
        ),
    ),
    part("block_storage", Names("bs-version trust-device-path ignore-volume-az")),
    part("route", Names("router-id")),
    part("metadata", Names("search-order request-timeout")),
];

const VSPHERE: &[Key] = &[
    part(
        "global",
        Names(
            "user password server port insecure-flag datacenter datacenters datastore working-dir soap-roundtrip-count vm-uuid vm-name",
        ),
    ),
    part(
        "virtual_center",
        Shape::Named(&[
            part("user", Text),
            part("password", Text),
            part("port", Any),
            part("datacenters", Any),
            part("soap-roundtrip-count", Any),
        ]),
    ),
    part("network", Names("public-network")),
    part("disk", Names("scsicontrollertype")),
    part("workspace", Names("server datacenter folder default-datastore resourcepool-path")),
];
