# shellcheck shell=bash
# The commands: what `lab` is asked to do, made of the other files' parts.

need_machine() {
    need_root
    need_host_packages
    need_build_packages
    need_go
    # Docker's own client where there is one: another program may carry its name further up the path.
    if [ -x /usr/bin/docker ]; then DOCKER_CLIENT=/usr/bin/docker; fi
}

# cluster_version: what was asked for, else what cluster.yml of this lab says, else the default.
cluster_version() {
    local version=$KUBERNETES
    if [ -z "$version" ]; then version=$(awk '$1 == "kubernetes_version:" {print $2}' "$TARGET/cluster.yml" 2>/dev/null || true); fi
    version=${version:-$KUBERNETES_DEFAULT}
    case " $KUBERNETES_KNOWN " in
    *" $version "*) echo "$version" ;;
    *) die "KUBERNETES=$version is not one that the lab builds: $KUBERNETES_KNOWN" ;;
    esac
}

write_cluster() {
    local version=$1 i role
    {
        cat <<TEXT
# Written by the lab: $CONTROLS node(s) with all roles, $WORKERS worker(s).
cluster_name: $LAB_NAME
kubernetes_version: $version
ssh_key_path: $KEY
network:
  plugin: ${LAB_NETWORK:-flannel}
nodes:
TEXT
        for ((i = 1; i <= CONTROLS + WORKERS; i++)); do
            role='[controlplane, etcd, worker]'
            if [ "$i" -gt "$CONTROLS" ]; then role='[worker]'; fi
            printf '  - address: %s\n    hostname_override: h%s\n    user: root\n    role: %s\n' "$(address "h$i")" "$i" "$role"
        done
        write_services
    } >"$TARGET/.cluster.yml.new"
    mv "$TARGET/.cluster.yml.new" "$TARGET/cluster.yml"
}

write_services() {
    cat <<'TEXT'
services:
  kubelet:
    config:
      # Hosts share this machine's disk, which other things fill. The defaults are percentages of it: nodes
      # would be under disk pressure and lose images that cannot be pulled again.
      evictionHard:
        memory.available: 100Mi
        nodefs.available: 1Gi
        nodefs.inodesFree: "1000"
        imagefs.available: 1Gi
        imagefs.inodesFree: "1000"
      imageGCHighThresholdPercent: 100
      imageGCLowThresholdPercent: 99
TEXT
    if [ "$(wc -l </proc/swaps)" -gt 1 ]; then
        printf '      # Hosts see the swap of this machine.\n      failSwapOn: false\n'
    fi
    cat <<'TEXT'
  kubeproxy:
    config:
      # The size of the connection table is the machine's; a host's own network namespace cannot set it.
      conntrack:
        maxPerCore: 0
TEXT
}

# hosts_locked COUNT SNAPSHOT FRESH VERSION
hosts_locked() {
    mkdir -p "$TARGET"
    echo "$LAB_SUBNET" >"$TARGET/subnet"
    need_engine
    hosts_room "$1"
    if [ -z "$2" ]; then need_host_image; fi
    make_hosts "$1" "$2" "$3"
    write_cluster "$4"
}

command_hosts() {
    local spec=$HOSTS snapshot='' fresh=no version started=$SECONDS
    while [ $# -gt 0 ]; do
        case $1 in
        --from) snapshot=${2:?--from needs a tag}; shift ;;
        --fresh) fresh=yes ;;
        *) spec=$1 ;;
        esac
        shift
    done
    parse_hosts "$spec"
    version=$(cluster_version)
    need_machine
    if [ -n "$snapshot" ]; then [ -d "$SNAPSHOTS/$snapshot" ] || die "no snapshot $snapshot"; fi
    with_lock "lab-$LAB_NAME" hosts_locked $((CONTROLS + WORKERS)) "$snapshot" $fresh "$version"
    say "$((CONTROLS + WORKERS)) host(s) after $((SECONDS - started)) s; the cluster's file is $TARGET/cluster.yml; try: ssh -i $KEY root@$(address h1)"
}

# build_needs VERSION: the MiB of disk that building its bundle takes at most; 0 when nothing is to be built.
build_needs() {
    local wanted=0
    if ! have_part "kubernetes-$1" build_kubernetes "$1"; then wanted=$((wanted + 6000)); fi
    if ! have_part "coredns-$COREDNS" build_coredns "$COREDNS"; then wanted=$((wanted + 3000)); fi
    if [ $wanted != 0 ] || [ ! -d "$BUNDLES/$1" ]; then wanted=$((wanted + 3000)); fi
    echo "$wanted"
}

# need_build_room VERSION [MORE]: room for building its bundle, and MORE MiB.
need_build_room() {
    local wanted
    wanted=$(build_needs "$1")
    if [ "$wanted" != 0 ]; then
        need_room "$CACHE" $((wanted + ${2:-0})) "building Kubernetes $1 and its companions"
        need_memory 3000 "building Kubernetes $1"
    fi
}

# bundle_named NAME: a Kubernetes version's, `workload`, or the older etcd's.
bundle_named() {
    case $1 in
    workload) bundle_workload ;;
    "etcd-$ETCD_OLD") bundle_old_etcd ;;
    *) bundle_kubernetes "$1" ;;
    esac
}

# has_bundle NAME: whether it is there, made of today's parts.
has_bundle() { present bundle_named "$1" && [ "$(readlink "$BUNDLES/$1")" = "../parts/$PART" ]; }

# make_bundle NAME: under the build lock.
make_bundle() {
    sweep
    bundle_named "$1"
    publish "$1"
}

command_bundle() {
    need_machine
    case " $KUBERNETES_KNOWN " in
    *" $1 "*) need_build_room "$1" ;;
    *) case $1 in workload | "etcd-$ETCD_OLD") ;; *) die "$1 is not one that the lab builds: $KUBERNETES_KNOWN" ;; esac ;;
    esac
    has_bundle "$1" || with_lock build make_bundle "$1"
    printf '%s\n' "$BUNDLES/$1"
}

# command_program NAME VERSION: where a program of that Kubernetes lies (kubeadm is in no bundle).
command_program() {
    need_machine
    with_lock build need_kubernetes "$2"
    [ -x "$PARTS/$PART/bin/$1" ] || die "Kubernetes $2 was built without a program $1"
    printf '%s\n' "$PARTS/$PART/bin/$1"
}

# command_prober: where the program lies that asks one URL again and again.
command_prober() {
    need_machine
    with_lock build part prober build_own prober "$(source_key "$LAB_HOME/prober")"
    printf '%s\n' "$PARTS/$PART/bin/prober"
}

command_verify() {
    command_bundle "$1" >/dev/null
    with_lock build verify_bundle "$BUNDLES/$1"
}

# tool: the program under test.
tool() { "${CARGO_TARGET_DIR:-$CHECKOUT/target}/release/provision" "$@"; }

command_up() {
    local version bundle catalog=${LAB_CATALOG:-$LAB_HOME/catalog.yml} arguments MORE
    parse_hosts "$HOSTS"
    version=$(cluster_version)
    need_machine
    # All of it is said now, not after a quarter of an hour.
    need_engine
    hosts_room $((CONTROLS + WORKERS))
    need_build_room "$version" "$(hosts_need $((CONTROLS + WORKERS)))"
    say "building the tool"
    (cd "$CHECKOUT" && cargo build --release --quiet)
    command_bundle "$version" >/dev/null
    command_bundle workload >/dev/null
    more_bundles
    choose_network "$version"
    command_hosts
    say "the catalog's overlay is $catalog:"
    sed 's/^/    /' "$catalog" >&2
    arguments=(--config "$TARGET/cluster.yml" --catalog "$catalog" --bundle "$BUNDLES/$version")
    for bundle in "${MORE[@]}"; do arguments+=(--bundle "$bundle"); done
    tool up --yes "${arguments[@]}"
    after_up "$version"
}

# choose_network VERSION: Canal, the product's default, wherever somebody hands Calico's images. They are in no package registry,
# so that the lab's own network is flannel.
choose_network() {
    if [ -n "${LAB_NETWORK:-}" ]; then return; fi
    LAB_NETWORK=flannel
    if has_calico "$1"; then LAB_NETWORK=canal; fi
    say "the network is $LAB_NETWORK (Canal needs docker.io/calico/node and docker.io/calico/cni:v$(calico_for "$1") in LAB_BUNDLES)"
}

command_archives() {
    need_root
    archives_bundle "$1"
}

# after_up VERSION: what the lab leaves for trying the cluster.
after_up() {
    local kubeconfig=$TARGET/kubeconfig
    mkdir -p "$TARGET/bin"
    install -m 755 "$BUNDLES/$1/files/kubectl-$1" "$TARGET/bin/kubectl"
    (umask 077 && tool kubeconfig --config "$TARGET/cluster.yml" >"$kubeconfig.new")
    mv "$kubeconfig.new" "$kubeconfig"
    command_workload_image >/dev/null
    "$TARGET/bin/kubectl" --kubeconfig "$kubeconfig" get nodes -o wide
    cat <<TEXT

The cluster is up. To use it:
    export KUBECONFIG=$kubeconfig PATH=$TARGET/bin:\$PATH
    kubectl get pods -A
Every host holds the image registry.k8s.io/e2e-test-images/agnhost:$AGNHOST for trying workloads.
To take everything away again: make lab-down
TEXT
}

# command_workload_image HOST...: agnhost into the containerd of the hosts that lack it.
command_workload_image() {
    local name hosts=("$@") image=registry.k8s.io/e2e-test-images/agnhost:$AGNHOST
    need_machine
    need_engine
    if [ ! -d "$BUNDLES/workload" ]; then command_bundle workload >/dev/null; fi
    if [ ${#hosts[@]} -eq 0 ]; then mapfile -t hosts < <(host_names); fi
    for name in "${hosts[@]}"; do
        if ! on_host "$name" ctr -n k8s.io images ls -q </dev/null | grep -qx "$image"; then
            on_host "$name" ctr -n k8s.io images import - >/dev/null <"$(echo "$BUNDLES"/workload/images/*.tar)"
        fi
    done
    printf '%s\n' "$image"
}

command_exec() {
    local name=${1:?which host?} terminal=()
    shift
    if [ -t 0 ] && [ -t 1 ]; then terminal=(-t); fi
    dk exec -i "${terminal[@]}" "$(container "$name")" "$@"
}

command_reboot() {
    need_engine
    dk restart "$(container "$1")" >/dev/null
    await_host "$1"
}

# command_kill HOST: as when its power is cut.
command_kill() {
    need_engine
    dk kill "$(container "$1")" >/dev/null
}

command_start() {
    need_engine
    dk start "$(container "$1")" >/dev/null
    await_host "$1"
}

# command_route HOST ROUTE: opens or closes the host's way out of the lab, for reboots to come as well.
command_route() {
    need_engine
    set_route "$1" "$2"
}

command_host_rm() {
    need_engine
    with_lock "lab-$LAB_NAME" remove_host "$1"
}

command_snapshot() {
    need_machine
    need_engine
    with_lock snapshots take_snapshot "$1" "$2"
}

command_has_snapshot() {
    need_machine
    need_engine
    with_lock snapshots has_snapshot "$1"
}

command_snapshot_rm() {
    need_engine
    with_lock snapshots remove_snapshots "$1"
}

# anything_left: whether the engine keeps anything of any lab; it runs only for that.
anything_left() { [ -n "$(dk ps -aq --filter label=provision-lab)" ]; }

# removed COMMAND...: removes with it. An engine under load now and then calls busy what it has just stopped.
removed() {
    local attempt
    for attempt in 1 2 3 4; do
        if "$@" >/dev/null; then return; fi
        say "attempt $attempt failed: $*"
        sleep 2
    done
    "$@" >/dev/null
}

down_locked() {
    local name volume
    if [ -d "$ENGINE_DATA" ] || [ -n "${LAB_DOCKER_HOST:-}" ]; then
        need_engine
        for name in $(dk ps -aq --filter "label=provision-lab=$LAB_NAME"); do removed dk rm -f -v "$name"; done
        for volume in $(dk volume ls -q --filter "label=provision-lab=$LAB_NAME"); do removed dk volume rm -f "$volume"; done
        remove_network
        if ! anything_left; then
            with_lock engine stop_engine
            restore_settings
        fi
    else
        remove_rules
        restore_settings
    fi
    rm -rf --one-file-system "${TARGET:?}"
}

command_down() {
    need_root
    if [ -d "$ENGINE_DATA" ]; then need_machine; fi
    with_lock "lab-$LAB_NAME" down_locked
    say "lab $LAB_NAME is gone; what it built is kept in $CACHE"
}
