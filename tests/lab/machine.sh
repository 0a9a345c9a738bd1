# shellcheck shell=bash
# What the lab asks of this machine: packages, a Go toolchain, room, and kernel settings that it notes
# before anything changes them.

GO_LEAST=1.24
# Settings of the whole machine that the hosts' systemd, kubelet or kube-proxy write, and those that the
# lab sets itself.
NOTED_SETTINGS="kernel.panic kernel.panic_on_oops kernel.pid_max kernel.sysrq kernel.core_pattern kernel.printk
    kernel.keys.maxkeys kernel.keys.maxbytes kernel.keys.root_maxkeys kernel.keys.root_maxbytes
    kernel.dmesg_restrict kernel.unprivileged_bpf_disabled kernel.yama.ptrace_scope
    vm.overcommit_memory vm.panic_on_oom vm.swappiness vm.max_map_count
    fs.file-max fs.nr_open fs.inotify.max_user_instances fs.inotify.max_user_watches fs.protected_regular
    fs.protected_fifos fs.protected_symlinks fs.protected_hardlinks fs.suid_dumpable
    net.ipv4.ip_forward net.ipv4.conf.all.forwarding net.ipv4.conf.default.forwarding net.ipv6.conf.all.forwarding
    net.ipv6.conf.default.forwarding net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter
    net.ipv4.conf.all.route_localnet net.core.somaxconn net.netfilter.nf_conntrack_max
    net.netfilter.nf_conntrack_tcp_timeout_established net.netfilter.nf_conntrack_tcp_timeout_close_wait
    net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables"

need_root() { [ "$(id -u)" = 0 ] || die "the lab makes containers, mounts and networks: run it as root (sudo -E make ...)"; }

# need_packages PROGRAM=PACKAGE...: installs the packages whose program is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    command -v apt-get >/dev/null || die "missing, and without apt-get to install them: ${missing[*]}"
    say "installing ${missing[*]}"
    mkdir -p "$LOGS"
    {
        apt-get update -q || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null
    } >"$LOGS/apt.log" 2>&1 || {
        tail -n 10 "$LOGS/apt.log" >&2
        die "apt-get could not install ${missing[*]}; the whole log is $LOGS/apt.log"
    }
}

need_build_packages() { need_packages debootstrap=debootstrap gcc=gcc setcap=libcap2-bin tar=tar gzip=gzip; need_libc_headers; }
# gcc alone, as minimal images have it, compiles nothing.
need_libc_headers() {
    if [ ! -e /usr/include/stdlib.h ]; then need_packages lab-libc-headers=libc6-dev; fi
}
need_host_packages() {
    need_packages dockerd=docker.io docker=docker.io iptables=iptables ssh-keygen=openssh-client ip=iproute2 \
        setsid=util-linux sysctl=procps
}

need_go() {
    local have
    command -v go >/dev/null || die "Go is missing: the lab builds Kubernetes, which needs Go $GO_LEAST or newer (https://go.dev/dl)"
    have=$(go env GOVERSION)
    have=${have#go}
    if [ "$(printf '%s\n' "$GO_LEAST" "$have" | sort -V | head -n 1)" != "$GO_LEAST" ]; then
        die "Go $have is too old: the lab builds Kubernetes, which needs Go $GO_LEAST or newer (https://go.dev/dl)"
    fi
}

# need_room FOLDER MEBIBYTES WHAT: says when the disk under FOLDER has less than that.
need_room() {
    local present
    mkdir -p "$1"
    present=$(df --output=avail -m "$1" | tail -n 1 | tr -d ' ')
    if [ "$present" -lt "$2" ]; then
        die "$3 needs $2 MiB of disk under $1, $present MiB are free (PROVISION_LAB_CACHE chooses another folder)"
    fi
}

# need_memory MEBIBYTES WHAT
need_memory() {
    local present
    present=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
    if [ "$present" -lt "$1" ]; then die "$2 needs $1 MiB of memory, $present MiB are available"; fi
}

# note_settings: writes down the noted settings, once for all labs of this machine's uptime. A note that
# is there was made before anything was changed, so it is never written again.
note_settings() {
    local name value
    if [ -e "$RUN/settings" ]; then return; fi
    mkdir -p "$RUN"
    for name in $NOTED_SETTINGS; do
        if value=$(sysctl -n "$name" 2>/dev/null); then printf '%s=%s\n' "$name" "$value"; fi
    done >"$RUN/settings.new"
    mv "$RUN/settings.new" "$RUN/settings"
}

# restore_settings: puts back what differs from the note, and forgets the note.
restore_settings() {
    local name value
    if [ ! -e "$RUN/settings" ]; then return; fi
    while IFS='=' read -r name value; do
        if [ "$(sysctl -n "$name" 2>/dev/null)" != "$value" ]; then
            if sysctl -q -w "$name=$value" >/dev/null 2>&1; then say "put back $name = $value"; else say "could not put back $name = $value"; fi
        fi
    done <"$RUN/settings"
    rm -f "$RUN/settings"
}
