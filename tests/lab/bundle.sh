# shellcheck shell=bash
# Bundles: folders of image archives and files with an index, the form of docs/bundle.md.

BUNDLES=$CACHE/bundle

# add_image NAME: the image in PART, whose version is its tag; add_file NAME VERSION FILE PATH: a file of PART.
# Both append a line to ITEMS, from which build_bundle works.
add_image() { ITEMS+=("image|$1|${1##*:}|$PART/image.tar|images/$(tr '/:' '__' <<<"$1").tar"); }
add_file() { ITEMS+=("file|$1|$2|$PART/$3|files/$4"); }

# build_bundle FOLDER ITEM...: links the items into FOLDER (no second copy on disk) and writes its index.
build_bundle() {
    local folder=$1 item kind name version source path id separator=''
    shift
    mkdir -p "$folder/images" "$folder/files"
    {
        printf '{\n  "format": 1,\n  "architecture": "amd64",\n  "items": [\n'
        for item in "$@"; do
            IFS='|' read -r kind name version source path <<<"$item"
            cp -l "$PARTS/$source" "$folder/$path"
            printf '%s    {"kind": "%s", "name": "%s", "version": "%s", "path": "%s", "size": %s, "sha256": "%s"' "$separator" \
                "$kind" "$name" "$version" "$path" "$(stat -c %s "$folder/$path")" "$(digest_of "$folder/$path")"
            if [ "$kind" = image ]; then
                id=$(cat "$(dirname "$PARTS/$source")/id")
                printf ', "image_id": "%s"' "$id"
            fi
            printf '}'
            separator=$',\n'
        done
        printf '\n  ]\n}\n'
    } >"$folder/index.json"
}

# publish NAME: points the bundle's fixed name at the part that was just made.
publish() {
    mkdir -p "$BUNDLES"
    ln -sfn "../parts/$PART" "$BUNDLES/.$1.new"
    mv -T "$BUNDLES/.$1.new" "$BUNDLES/$1"
    prune_part
}

# bundle_kubernetes VERSION: sets PART to everything that `provision up` needs for that version.
bundle_kubernetes() {
    local version=$1 etcd pause metrics component ITEMS=()
    etcd=$(etcd_for "$version")
    pause=$(pause_for "$version")
    metrics=$(metrics_server_for "$version")
    for component in kube-apiserver kube-controller-manager kube-scheduler; do
        image_component "$version" "$component"; add_image "registry.k8s.io/$component:$version"
    done
    image_kube_proxy "$version"; add_image "registry.k8s.io/kube-proxy:$version"
    image_etcd "$etcd"; add_image "registry.k8s.io/etcd:$etcd-0"
    image_pause "$pause"; add_image "registry.k8s.io/pause:$pause"
    image_coredns; add_image "registry.k8s.io/coredns/coredns:v$COREDNS"
    image_metrics_server "$metrics"; add_image "registry.k8s.io/metrics-server/metrics-server:v$metrics"
    image_haproxy; add_image "docker.io/library/haproxy:$HAPROXY"
    image_flannel; add_image "ghcr.io/flannel-io/flannel:v$FLANNEL"
    image_flannel_cni; add_image "ghcr.io/flannel-io/flannel-cni-plugin:v$FLANNEL_CNI"
    need_kubernetes "$version"
    add_file kubelet "$version" bin/kubelet "kubelet-$version"
    add_file kubectl "$version" bin/kubectl "kubectl-$version"
    need_cni_plugins
    add_file cni-plugins "v$CNI_PLUGINS" cni-plugins.tgz "cni-plugins-linux-amd64-v$CNI_PLUGINS.tgz"
    part "bundle-$version" build_bundle "${ITEMS[@]}"
}

# bundle_workload: sets PART to agnhost, an image for trying workloads.
bundle_workload() {
    local ITEMS=()
    image_agnhost; add_image "registry.k8s.io/e2e-test-images/agnhost:$AGNHOST"
    part bundle-workload build_bundle "${ITEMS[@]}"
}
