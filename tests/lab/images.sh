# shellcheck shell=bash
# Image archives under the official names, with the official inner layout, written without an engine:
# a tar of layers, configuration and manifest.json, as `docker save` makes it and `docker load` and
# `ctr images import` take it. The same inputs give the same bytes, so an image has one id.

IMAGE_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# tar_layer FOLDER FILE: file capabilities are kept (CoreDNS's image has one), nothing that varies is.
tar_layer() {
    tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=pax --xattrs \
        --xattrs-include=security.capability --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime,delete=mtime \
        -cf "$2" .
}

digest_of() { sha256sum "$1" | cut -d' ' -f1; }

# write_image FOLDER NAME CONFIG LAYER_FOLDER...: image.tar in FOLDER, its id and digest in files beside it.
write_image() {
    local folder=$1 name=$2 config=$3 layer digest id diffs=() paths=() work=$1/archive
    shift 3
    mkdir "$work"
    for layer in "$@"; do
        tar_layer "$layer" "$work/layer"
        digest=$(digest_of "$work/layer")
        mv "$work/layer" "$work/$digest.tar"
        diffs+=("\"sha256:$digest\"")
        paths+=("\"$digest.tar\"")
    done
    printf '{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
        "$config" "$(join "${diffs[@]}")" >"$work/config"
    id=$(digest_of "$work/config")
    mv "$work/config" "$work/$id.json"
    printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":[%s]}]' "$id" "$name" "$(join "${paths[@]}")" >"$work/manifest.json"
    (cd "$work" && tar --sort=name --mtime=@0 --owner=0 --group=0 --mode=0644 --numeric-owner --format=ustar -cf "$folder/image.tar" -- *)
    rm -rf "$work"
    printf 'sha256:%s\n' "$id" >"$folder/id"
    digest_of "$folder/image.tar" >"$folder/sha256"
}

join() {
    local IFS=,
    printf '%s' "$*"
}

# static_root FOLDER ETC: what is under upstream's images of one static program.
static_root() {
    mkdir -p "$1"/{etc/ssl/certs,tmp,var/run,usr/local/bin}
    chmod 1777 "$1/tmp"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n' >"$1/etc/group"
    cp "$2/ssl/certs/ca-certificates.crt" "$1/etc/ssl/certs/"
}

# build_image FOLDER NAME CONFIG BASE COPY...: BASE is `static:PART` (Debian's, for its etc), `none`, or the part of
# a root, a layer of its own. A COPY is PART/FILE=/PATH, or the same with `+CAPABILITY` behind it.
build_image() {
    local folder=$1 name=$2 config=$3 base=$4 copy source path top=$1/top layers=()
    shift 4
    mkdir "$top"
    case $base in
    static:*) static_root "$top" "$PARTS/${base#static:}/etc" ;;
    none) ;;
    *) layers+=("$PARTS/$base/root") ;;
    esac
    for copy in "$@"; do
        source=$PARTS/${copy%%=*}
        path=${copy#*=}
        install -D -m 755 "$source" "$top${path%+*}"
        if [ "$path" != "${path%+*}" ]; then setcap "${path#*+}=+ep" "$top${path%+*}"; fi
    done
    if [ $# -gt 0 ]; then layers+=("$top"); fi
    write_image "$folder" "$name" "$config" "${layers[@]}"
    rm -rf "$top"
}

# image_config USER ENTRYPOINT CMD [MORE]: the words of ENTRYPOINT and CMD are split at spaces.
image_config() {
    printf '{"User":"%s","Env":["PATH=%s","SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],"WorkingDir":"/"' "$1" "$IMAGE_PATH"
    if [ -n "$2" ]; then printf ',"Entrypoint":[%s]' "$(quoted "$2")"; fi
    if [ -n "$3" ]; then printf ',"Cmd":[%s]' "$(quoted "$3")"; fi
    printf '%s}' "${4:-}"
}

quoted() {
    local word words=()
    for word in $1; do words+=("\"$word\""); done
    join "${words[@]}"
}

# The images, each an own part; every one sets PART.

# A static component of Kubernetes: upstream's base runs it through go-runner.
image_component() {
    local version=$1 name=$2 kubernetes runner
    need_kubernetes "$version"; kubernetes=$PART
    need_go_runner; runner=$PART
    need_debian
    part "image-$name-$version" build_image "registry.k8s.io/$name:$version" "$(image_config 0 /go-runner '')" "static:$PART" \
        "$kubernetes/bin/$name=/usr/local/bin/$name" "$runner/bin/go-runner=/go-runner"
}

image_kube_proxy() {
    local version=$1 kubernetes runner entrypoint=/go-runner
    need_kubernetes "$version"; kubernetes=$PART
    need_go_runner; runner=$PART
    need_net_base
    # Before 1.25 its base was a plain Debian.
    case $version in v1.24.*) entrypoint= ;; esac
    part "image-kube-proxy-$version" build_image "registry.k8s.io/kube-proxy:$version" "$(image_config 0 "$entrypoint" '')" "$PART" \
        "$kubernetes/bin/kube-proxy=/usr/local/bin/kube-proxy" "$runner/bin/go-runner=/go-runner"
}

image_etcd() {
    local version=$1 etcd
    need_etcd "$version"; etcd=$PART
    need_debian
    part "image-etcd-$version" build_image "registry.k8s.io/etcd:$version-0" "$(image_config 0 '' '')" "static:$PART" \
        "$etcd/bin/etcd=/usr/local/bin/etcd" "$etcd/bin/etcdctl=/usr/local/bin/etcdctl" "$etcd/bin/etcdutl=/usr/local/bin/etcdutl"
}

image_pause() {
    need_pause "$1"
    part "image-pause-$1" build_image "registry.k8s.io/pause:$1" "$(image_config 65535:65535 /pause '')" none "$PART/bin/pause=/pause"
}

image_coredns() {
    local coredns
    need_coredns; coredns=$PART
    need_debian
    part "image-coredns-$COREDNS" build_image "registry.k8s.io/coredns/coredns:v$COREDNS" \
        "$(image_config 65532:65532 /coredns '' ',"ExposedPorts":{"53/tcp":{},"53/udp":{}}')" "static:$PART" \
        "$coredns/bin/coredns=/coredns+cap_net_bind_service"
}

image_metrics_server() {
    local server
    need_metrics_server "$1"; server=$PART
    need_debian
    part "image-metrics-server-$1" build_image "registry.k8s.io/metrics-server/metrics-server:v$1" \
        "$(image_config 65534 /metrics-server '')" "static:$PART" "$server/bin/metrics-server=/metrics-server"
}

image_haproxy() {
    need_haproxy
    part "image-haproxy-$HAPROXY" build_image "docker.io/library/haproxy:$HAPROXY" \
        "$(image_config haproxy docker-entrypoint.sh 'haproxy -f /usr/local/etc/haproxy/haproxy.cfg' ',"StopSignal":"SIGUSR1"')" "$PART"
}

image_flannel() {
    local flannel
    need_flannel; flannel=$PART
    need_net_base
    part "image-flannel-$FLANNEL" build_image "ghcr.io/flannel-io/flannel:v$FLANNEL" "$(image_config '' /opt/bin/flanneld '')" "$PART" \
        "$flannel/bin/flanneld=/opt/bin/flanneld"
}

image_flannel_cni() {
    local flannel
    need_flannel_cni; flannel=$PART
    need_busybox
    part "image-flannel-cni-$FLANNEL_CNI" build_image "ghcr.io/flannel-io/flannel-cni-plugin:v$FLANNEL_CNI" "$(image_config '' '' /bin/sh)" "$PART" \
        "$flannel/bin/flannel=/flannel"
}

image_agnhost() {
    local agnhost
    need_agnhost; agnhost=$PART
    need_busybox
    part "image-agnhost-$AGNHOST" build_image "registry.k8s.io/e2e-test-images/agnhost:$AGNHOST" "$(image_config '' /agnhost pause)" "$PART" \
        "$agnhost/bin/agnhost=/agnhost"
}
