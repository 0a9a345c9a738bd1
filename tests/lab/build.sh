# shellcheck shell=bash
# Programs built from their published Go modules. Each builder gets a folder and leaves its programs in
# the folder's bin/; the module files that it made stay beside them, as a record of what was linked.

# go_module FOLDER GO_LINE: an empty module.
go_module() { printf 'module lab/build\n\ngo %s\n' "$2" >"$1/go.mod"; }

# go_tools FOLDER PACKAGE...: makes the module depend on programs, so that tidy keeps what they need.
go_tools() {
    local folder=$1 package
    shift
    {
        printf '//go:build tools\n\npackage tools\n\n'
        for package in "$@"; do printf 'import _ "%s"\n' "$package"; done
    } >"$folder/tools.go"
}

# kubernetes_module FOLDER VERSION: Kubernetes requires its staging modules at version zero and replaces
# them by folders of its own tree, which the module lacks. They are published with the same numbers.
kubernetes_module() {
    local folder=$1 version=$2 upstream
    upstream=$(cd / && go list -m -f '{{.GoMod}}' "k8s.io/kubernetes@$version")
    {
        printf 'module lab/build\n\n'
        grep '^go ' "$upstream"
        printf '\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$version"
        grep -oE '^\s+k8s\.io/[a-z0-9-]+ => \./staging' "$upstream" | awk '{print $1}' | sort -u |
            sed "s|.*|\t& => & v0.${version#v1.}|"
        # Old versions (1.24) pin all of their dependencies by further replace lines.
        sed -n '/^replace/,$p' "$upstream" | grep -v staging | grep -E '^\s+\S+ => \S+ v' || true
        printf ')\n'
    } >"$folder/go.mod"
}

# kubernetes_stamp VERSION: the linker's flags by which a component knows its version.
kubernetes_stamp() {
    local version=$1 base=k8s.io/component-base/version minor
    minor=$(cut -d. -f2 <<<"$version")
    printf -- '-s -w -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
        "$base" "$version" "$base" "$base" "$minor" "$base"
    printf -- ' -X k8s.io/client-go/pkg/version.gitVersion=%s' "$version"
}

build_kubernetes() {
    local folder=$1 version=$2 packages
    packages=(k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl,kubeadm})
    kubernetes_module "$folder" "$version"
    go_tools "$folder" "${packages[@]}"
    cd "$folder"
    go mod tidy
    CGO_ENABLED=0 go build -trimpath -ldflags "$(kubernetes_stamp "$version")" -o bin/ "${packages[@]}"
}

build_agnhost() {
    local folder=$1 version=v$2 reports=$3
    kubernetes_module "$folder" "$version"
    go_tools "$folder" k8s.io/kubernetes/test/images/agnhost
    cd "$folder"
    go mod tidy
    CGO_ENABLED=0 go build -trimpath -ldflags "$(kubernetes_stamp "$version") -X main.Version=$reports" \
        -o bin/agnhost k8s.io/kubernetes/test/images/agnhost
}

build_etcd() {
    local folder=$1 version=v$2 module packages=()
    cd "$folder"
    go_module . 1.24
    for module in server etcdctl etcdutl; do packages+=("go.etcd.io/etcd/$module/v3"); done
    go_tools . "${packages[@]}"
    go get "${packages[@]/%/@$version}"
    go mod tidy
    for module in server etcdctl etcdutl; do
        CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "bin/${module/server/etcd}" "go.etcd.io/etcd/$module/v3"
    done
}

# go_program FOLDER MODULE VERSION PACKAGES... : one module's programs, with the flags in LDFLAGS.
go_program() {
    local folder=$1 module=$2 version=$3
    shift 3
    cd "$folder"
    go_module . 1.24
    go_tools . "$@"
    go get "$module@$version"
    go mod tidy
    mkdir bin
    go build -trimpath -ldflags "$LDFLAGS" -o bin/ "$@"
}

build_coredns() {
    local LDFLAGS="-s -w -X github.com/coredns/coredns/coremain.GitCommit=v$2"
    CGO_ENABLED=0 go_program "$1" github.com/coredns/coredns "v$2" github.com/coredns/coredns
}

build_metrics_server() {
    local module=sigs.k8s.io/metrics-server
    local LDFLAGS="-s -w -X k8s.io/client-go/pkg/version.gitVersion=v$2"
    CGO_ENABLED=0 go_program "$1" "$module" "v$2" "$module/cmd/metrics-server"
}

build_cni_plugins() {
    local module=github.com/containernetworking/plugins
    local LDFLAGS="-s -w -X $module/pkg/utils/buildversion.BuildVersion=v$2" packages
    # The whole content of upstream's archive for Linux.
    packages=("$module"/plugins/{ipam/{dhcp,host-local,static},main/{bridge,dummy,host-device,ipvlan,loopback,macvlan,ptp,tap,vlan},meta/{bandwidth,firewall,portmap,sbr,tuning,vrf}})
    CGO_ENABLED=0 go_program "$1" "$module" "v$2" "${packages[@]}"
    tar -C "$1/bin" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c . | gzip -n -1 >"$1/cni-plugins.tgz"
}

build_flannel_cni() {
    local module=github.com/containernetworking/plugins
    local LDFLAGS="-s -w -X $module/pkg/utils/buildversion.BuildVersion=v$2"
    CGO_ENABLED=0 go_program "$1" "$module" "v$2" "$module/plugins/meta/flannel"
}

# flannel's daemon reads kernel headers through cgo; linked statically it runs on any base.
build_flannel() {
    local module=github.com/flannel-io/flannel
    local LDFLAGS="-s -w -linkmode external -extldflags -static -X $module/pkg/version.Version=v$2"
    CGO_ENABLED=1 go_program "$1" "$module" "v$2" "$module"
    mv "$1/bin/flannel" "$1/bin/flanneld"
}

# build_own FOLDER SOURCE KEY [VERSION]: a program whose source lies in this folder. KEY, its hash, is
# an argument so that the recipe changes with the source.
build_own() {
    local folder=$1 source=$2 version=${4:-}
    mkdir "$folder/bin"
    cd "$LAB_HOME/$source"
    CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$folder/bin/$source" .
}

# The parts by name; each sets PART.
need_kubernetes() { part "kubernetes-$1" build_kubernetes "$1"; }
need_etcd() { part "etcd-$1" build_etcd "$1"; }
need_coredns() { part "coredns-$COREDNS" build_coredns "$COREDNS"; }
need_metrics_server() { part "metrics-server-$1" build_metrics_server "$1"; }
need_cni_plugins() { part "cni-plugins-$CNI_PLUGINS" build_cni_plugins "$CNI_PLUGINS"; }
need_flannel() { part "flannel-$FLANNEL" build_flannel "$FLANNEL"; }
need_flannel_cni() { part "flannel-cni-$FLANNEL_CNI" build_flannel_cni "$FLANNEL_CNI"; }
need_agnhost() { part "agnhost-$AGNHOST" build_agnhost "$AGNHOST_KUBERNETES" "$AGNHOST"; }
need_shim() { part shim build_own shim "$(source_key "$LAB_HOME/shim")"; }
need_go_runner() { part go-runner build_own go-runner "$(source_key "$LAB_HOME/go-runner")"; }
need_pause() { part "pause-$1" build_own pause "$(source_key "$LAB_HOME/pause")" "$1"; }
