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

# archive_item ARCHIVE: the index's line for an image archive as `docker save` writes it, with one image.
archive_item() {
    local manifest name id
    manifest=$(tar -xOf "$1" manifest.json) || die "$1 is no image archive: it has no manifest.json"
    name=$(grep -o '"RepoTags": *\["[^"]*"' <<<"$manifest" | cut -d '"' -f 4)
    id=$(grep -o '"Config": *"[^"]*"' <<<"$manifest" | cut -d '"' -f 4)
    id=${id##*/}
    if [ -z "$name" ] || [ -z "$id" ]; then die "$1 names no image: $manifest"; fi
    printf '    {"kind": "image", "name": "%s", "version": "%s", "path": "images/%s", "size": %s, "sha256": "%s", "image_id": "sha256:%s"}' \
        "$name" "${name##*:}" "${1##*/}" "$(stat -c %s "$1")" "$(digest_of "$1")" "${id%.json}"
}

# archives_bundle FOLDER: makes a bundle of a folder of image archives, below this lab's own folder, and prints where. A
# folder that is a bundle already is printed as it is.
archives_bundle() {
    local folder=$1 made archive separator=''
    [ -d "$folder" ] || die "LAB_BUNDLES names $folder, which is no folder"
    if [ -f "$folder/index.json" ]; then printf '%s\n' "$folder"; return; fi
    made=$TARGET/bundles/$(tr '/' '_' <<<"${folder#/}")
    rm -rf "$made"
    mkdir -p "$made/images"
    {
        printf '{\n  "format": 1,\n  "architecture": "amd64",\n  "items": [\n'
        for archive in "$folder"/*.tar; do
            [ -f "$archive" ] || die "$folder is no bundle and holds no image archives (*.tar)"
            cp -l "$archive" "$made/images/" 2>/dev/null || cp "$archive" "$made/images/"
            printf '%s' "$separator"
            archive_item "$archive"
            separator=$',\n'
        done
        printf '\n  ]\n}\n'
    } >"$made/index.json"
    printf '%s\n' "$made"
}

# more_bundles: sets MORE to the bundles that LAB_BUNDLES names.
more_bundles() {
    local folder folders
    MORE=()
    IFS=: read -r -a folders <<<"${LAB_BUNDLES:-}"
    for folder in "${folders[@]}"; do MORE+=("$(archives_bundle "$folder")"); done
}

# has_calico VERSION: whether MORE holds the images that Canal needs besides those of the lab.
has_calico() {
    local pin image bundle found
    pin=$(calico_for "$1")
    for image in node cni; do
        found=no
        for bundle in "${MORE[@]}"; do
            if grep -qF "\"docker.io/calico/$image:v$pin\"" "$bundle/index.json"; then found=yes; fi
        done
        [ $found = yes ] || return 1
    done
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

# bundle_old_etcd: sets PART to etcd alone, for clusters that a catalog has start on it.
bundle_old_etcd() {
    local ITEMS=()
    image_etcd "$ETCD_OLD"; add_image "registry.k8s.io/etcd:$ETCD_OLD-0"
    part "bundle-etcd-$ETCD_OLD" build_bundle "${ITEMS[@]}"
}

# bundle_workload: sets PART to agnhost, an image for trying workloads.
bundle_workload() {
    local ITEMS=()
    image_agnhost; add_image "registry.k8s.io/e2e-test-images/agnhost:$AGNHOST"
    part bundle-workload build_bundle "${ITEMS[@]}"
}
