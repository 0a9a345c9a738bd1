# shellcheck shell=bash
# Asks every program of a bundle for its version: an image must not carry a tag that its program does
# not report.

# image_questions NAME: the commands, one a line, that print the versions of an image's programs.
image_questions() {
    case $1 in
    registry.k8s.io/kube-*)
        local program=${1##*/}
        echo "/usr/local/bin/${program%%:*} --version"
        ;;
    registry.k8s.io/etcd:*) printf '/usr/local/bin/%s\n' 'etcd --version' 'etcdctl version' 'etcdutl version' ;;
    registry.k8s.io/pause:*) echo '/pause -v' ;;
    registry.k8s.io/coredns/*) echo '/coredns -version' ;;
    registry.k8s.io/metrics-server/*) echo '/metrics-server --version' ;;
    docker.io/library/haproxy:*) echo '/usr/local/sbin/haproxy -v' ;;
    ghcr.io/flannel-io/flannel:*) echo '/opt/bin/flanneld --version' ;;
    ghcr.io/flannel-io/flannel-cni-plugin:*) echo '/flannel' ;;
    registry.k8s.io/e2e-test-images/agnhost:*) echo '/agnhost --version' ;;
    *) die "nobody knows how to ask $1 for its version" ;;
    esac
}

# judge NAME VERSION ANSWER: the program says the version that the index gives it. `3.6.14-0` is the first image
# of 3.6.14.
judge() {
    local name=$1 version=${2#v} answer=$3
    version=${version%-[0-9]}
    if ! grep -qE "(^|[^0-9.])${version//./\\.}([^0-9.]|\$)" <<<"$answer"; then
        printf 'WRONG %s: the index says %s, the program: %s\n' "$name" "$version" "$answer"
        return 1
    fi
    printf 'ok    %s: %s\n' "$name" "$(grep -m 1 -F -- "$version" <<<"$answer")"
}

verify_image() {
    local name=$1 version=$2 archive=$3 root=$4 layer command wrong=0
    mkdir "$root" "$root.archive"
    tar -C "$root.archive" -xf "$archive"
    # In the manifest's order: later layers lie over earlier ones.
    for layer in $(grep -o '"Layers":\[[^]]*' "$root.archive/manifest.json" | cut -d'[' -f2 | tr -d '"' | tr ',' ' '); do
        tar -C "$root" -xf "$root.archive/$layer"
    done
    if [ "${name##*:}" != "$version" ]; then
        printf 'WRONG %s: the index says version %s\n' "$name" "$version"
        wrong=1
    fi
    while read -r command; do
        # The words of the command are split on purpose.
        # shellcheck disable=SC2086
        judge "$name" "$version" "$(chroot "$root" $command </dev/null 2>&1 || true)" || wrong=1
    done < <(image_questions "$name")
    rm -rf "$root" "$root.archive"
    return "$wrong"
}

verify_file() {
    local name=$1 version=$2 file=$3 work=$4 plugin wrong=0
    case $name in
    kubelet) judge "$name" "$version" "$("$file" --version)" ;;
    kubectl) judge "$name" "$version" "$("$file" version --client 2>&1)" ;;
    cni-plugins)
        mkdir "$work"
        tar -C "$work" -xzf "$file"
        for plugin in "$work"/*; do
            judge "${plugin##*/}" "$version" "$(env -u CNI_COMMAND "$plugin" </dev/null 2>&1 || true)" || wrong=1
        done
        rm -rf "$work"
        return "$wrong"
        ;;
    *) die "nobody knows how to ask $name for its version" ;;
    esac
}

# verify_bundle FOLDER: every item; its bytes are those of the index, too.
verify_bundle() {
    local folder=$1 work kind name version path sha256 wrong=0
    work=$(mktemp -d "$CACHE/tmp/verify.XXXXXX")
    while read -r kind name version path sha256; do
        if [ "$(digest_of "$folder/$path")" != "$sha256" ]; then
            printf 'WRONG %s: its bytes are not those of the index\n' "$name"
            wrong=1
        fi
        "verify_$kind" "$name" "$version" "$folder/$path" "$work/item" || wrong=1
    done < <(sed -nE 's/.*"kind": "([^"]*)", "name": "([^"]*)", "version": "([^"]*)", "path": "([^"]*)".*"sha256": "([^"]*)".*/\1 \2 \3 \4 \5/p' "$folder/index.json")
    rm -rf "$work"
    return "$wrong"
}
