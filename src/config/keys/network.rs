//! `network`: who carries pod traffic.

use super::addons::TOLERATION;
use crate::config::schema::Shape::{Flag, Integer, Names, Section, Sections, Text, TextMap};
use crate::config::schema::{Key, honoured, left_out, part, section};

const CALICO: &str = "Calico alone is not installed; `plugin: canal` has Calico's policy, and flannel between nodes";
const WEAVE: &str = "Weave Net is not maintained any more";
const NO_FLEX_VOLUME: &str =
    "no driver is installed: only Istio's old application layer policy used it, and Calico has dropped it";
const NO_CONTROLLERS: &str = "Canal runs no calico-kube-controllers: it tidies up after Calico's own address management, and here every node has its range from Kubernetes";

pub(super) const NETWORK: &[Key] = &[
    honoured(
        "plugin",
        Text,
        "`canal`",
        "`canal` (flannel's VXLAN between nodes, Calico's network policy), `flannel` (VXLAN; it enforces no network policy), or `none`: you install one.",
    ),
    section("options", OPTIONS),
    honoured(
        "mtu",
        Integer,
        "`0`: that of the interface, minus 50",
        "MTU of the pod network, 1280 to 9216. Also with flannel, where RKE refuses it.",
    ),
    honoured(
        "node_selector",
        TextMap,
        "none",
        "Labels of the nodes that the plugin runs on. Every node must carry them, by `nodes[].labels` or by its role: a node without a network is never ready.",
    ),
    honoured(
        "tolerations",
        Sections(TOLERATION),
        "none",
        "Tolerations of the plugin's pods, besides their own, which cover every taint.",
    ),
    section("update_strategy", UPDATE_STRATEGY),
    left_out("enable_br_netfilter", Flag, "the kernel module br_netfilter is always loaded").harmless(&["true"]),
    left_out("calico_network_provider", Section(&[part("cloudprovider", Text)]), CALICO),
    section(
        "canal_network_provider",
        &[honoured("iface", Text, "none", "Rancher's spelling of `network.options.canal_iface`.")],
    ),
    section(
        "flannel_network_provider",
        &[honoured("iface", Text, "none", "Rancher's spelling of `network.options.flannel_iface`.")],
    ),
    left_out("weave_network_provider", Section(&[part("password", Text)]), WEAVE),
    left_out(
        "aci_network_provider",
        Names(ACI),
        "the vendor's plugin needs its fabric; install it yourself with `plugin: none`",
    ),
];

const OPTIONS: &[Key] = &[
    honoured("canal_iface", Text, "that of the node's address", "Interface for traffic between nodes, with `canal`."),
    honoured("canal_flannel_backend_type", Text, "`vxlan`", "Only `vxlan`."),
    honoured("canal_flannel_backend_port", Text, "`8472`", "UDP port of VXLAN, with `canal`."),
    honoured("canal_flannel_backend_vni", Text, "`1`", "VXLAN network identifier, 1 to 16777215, with `canal`."),
    honoured(
        "canal_priority_class_name",
        Text,
        "`system-node-critical`",
        "Priority class of Canal's pods. It must be there before them: one that add-ons bring is too late.",
    ),
    honoured(
        "flannel_iface",
        Text,
        "that of the node's address",
        "Interface for traffic between nodes, with `flannel`.",
    ),
    honoured("flannel_backend_type", Text, "`vxlan`", "Only `vxlan`."),
    honoured("flannel_backend_port", Text, "`8472`", "UDP port of VXLAN, with `flannel`."),
    honoured("flannel_backend_vni", Text, "`1`", "VXLAN network identifier, 1 to 16777215, with `flannel`."),
    honoured(
        "kube_flannel_priority_class_name",
        Text,
        "`system-node-critical`",
        "Priority class of flannel's pods, as `canal_priority_class_name`.",
    ),
    left_out("canal_flex_volume_plugin_dir", Text, NO_FLEX_VOLUME),
    left_out("calico_kube_controllers_priority_class_name", Text, NO_CONTROLLERS),
    left_out("calico_cloud_provider", Text, CALICO).harmless(&["none"]),
    left_out("calico_flex_volume_plugin_dir", Text, CALICO),
    left_out("calico_node_priority_class_name", Text, CALICO),
    left_out("weave_password", Text, WEAVE),
    left_out("weave_net_priority_class_name", Text, WEAVE),
];

const UPDATE_STRATEGY: &[Key] = &[
    honoured("strategy", Text, "`RollingUpdate`", "Only `RollingUpdate`: nobody would replace the pods otherwise."),
    section(
        "rollingUpdate",
        &[honoured(
            "maxUnavailable",
            Text,
            "`1`",
            "On how many nodes the plugin's pods may be replaced at the same time: a number, or a percentage such as `10%`.",
        )],
    ),
];

const ACI: &str = "system_id apic_hosts token apic_user_name apic_user_key apic_user_crt apic_refresh_time vmm_domain vmm_controller \
    encap_type node_subnet mcast_range_start mcast_range_end aep vrf_name vrf_tenant l3out l3out_external_networks extern_dynamic \
    extern_static node_svc_subnet kube_api_vlan service_vlan infra_vlan tenant ovs_memory_limit ovs_memory_request image_pull_policy \
    image_pull_secret service_monitor_interval pbr_tracking_non_snat install_istio istio_profile drop_log_enable controller_log_level \
    host_agent_log_level opflex_log_level use_aci_cni_priority_class no_priority_class max_nodes_svc_graph snat_contract_scope \
    pod_subnet_chunk_size enable_endpoint_slice snat_namespace ep_registry opflex_mode snat_port_range_start snat_port_range_end \
    snat_ports_per_node opflex_client_ssl use_privileged_container use_host_netns_volume use_opflex_server_volume subnet_domain_name \
    kafka_brokers kafka_client_crt kafka_client_key capic use_aci_anywhere_crd overlay_vrf_name gbp_pod_subnet run_gbp_container \
    run_opflex_server_container opflex_server_port duration_wait_for_network disable_wait_for_network apic_subscription_delay \
    apic_refresh_ticker_adjust disable_periodic_snat_global_info_sync opflex_device_delete_timeout mtu_head_room node_pod_if_enable \
    sriov_enable multus_disable use_cluster_role no_wait_for_service_ep_readiness add_external_subnets_to_rdconfig \
    service_graph_endpoint_add_delay service_graph_endpoint_add_services hpp_optimization sleep_time_snat_global_info_sync \
    opflex_agent_opflex_asyncjson_enabled opflex_agent_ovs_asyncjson_enabled opflex_agent_policy_retry_delay_timer aci_multipod \
    opflex_device_reconnect_wait_timeout aci_multipod_ubuntu dhcp_renew_max_retry_count dhcp_delay use_system_node_priority_class \
    aci_containers_controller_memory_request aci_containers_controller_memory_limit aci_containers_host_memory_request \
    aci_containers_host_memory_limit mcast_daemon_memory_request mcast_daemon_memory_limit opflex_agent_memory_request \
    opflex_agent_memory_limit aci_containers_memory_request aci_containers_memory_limit opflex_agent_statistics \
    add_external_contract_to_default_epg enable_opflex_agent_reconnect opflex_openssl_compat node_snat_redirect_exclude \
    toleration_seconds disable_hpp_rendering apic_connection_retry_limit taint_not_ready_node drop_log_disable_events \
    opflex_startup_enabled opflex_startup_policy_duration opflex_startup_resolve_aft_conn opflex_switch_sync_delay \
    opflex_switch_sync_dynamic unknown_mac_unicast_action enable_hpp_direct opflex_agent_reset_wait_delay";
