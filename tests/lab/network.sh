# shellcheck shell=bash
# The hosts' network: a bridge of its own for each lab, with a way out through this machine's address so
# that hosts reach their package mirror.

SUBNET=172.30.$LAB_SUBNET
NETWORK=provision-$LAB_NAME
BRIDGE=plab$LAB_SUBNET
# Addresses of pods and Services, as every cluster.yml of the lab has them. Nobody outside has them, and a router would say so;
# where this machine's way out is a proxy that answers for every address, a host would otherwise take it for a Service
# that kube-proxy has not set up yet.
CLUSTER_RANGES=10.42.0.0/15

# uplink_mtu: the size of packets that leave this machine whole; hosts use the same.
uplink_mtu() {
    local device
    device=$(ip -4 route show default | awk '{for (i = 1; i < NF; i++) if ($i == "dev") {print $(i + 1); exit}}')
    cat "/sys/class/net/$device/mtu" 2>/dev/null || echo 1500
}

# nameservers: the servers that hosts ask. This machine's own, as long as another machine can reach them.
nameservers() {
    local file servers
    if [ -n "${LAB_DNS:-}" ]; then echo "$LAB_DNS"; return; fi
    for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
        servers=$(awk '$1 == "nameserver" && $2 !~ /^127\./ && $2 !~ /:/ {printf "%s ", $2}' "$file" 2>/dev/null || true)
        if [ -n "$servers" ]; then echo "$servers"; return; fi
    done
    die "this machine names no nameserver that its lab hosts could reach; set LAB_DNS to one"
}

# rules ACTION: the firewall rules of this lab, for -C, -I or -D. What is inserted last is asked first.
rules() {
    local mark=(-m comment --comment "provision-lab $LAB_NAME") action=$1
    iptables -w "$action" FORWARD -i "$BRIDGE" -j ACCEPT "${mark[@]}" &&
        iptables -w "$action" FORWARD -o "$BRIDGE" -j ACCEPT "${mark[@]}" &&
        iptables -w -t nat "$action" POSTROUTING -s "$SUBNET.0/24" ! -o "$BRIDGE" -j MASQUERADE "${mark[@]}" &&
        iptables -w "$action" FORWARD -i "$BRIDGE" ! -o "$BRIDGE" -d "$CLUSTER_RANGES" -j REJECT \
            --reject-with icmp-net-unreachable "${mark[@]}"
}

# remove_rules: however often they are there, and when only some are.
remove_rules() {
    local table rule
    for table in filter nat; do
        while rule=$(iptables -w -t "$table" -S 2>/dev/null | grep -m 1 -- "--comment \"provision-lab $LAB_NAME\""); do
            printf '%s\n' "${rule/#-A/-D}" | xargs iptables -w -t "$table"
        done
    done
}

need_network() {
    note_settings
    sysctl -q -w net.ipv4.ip_forward=1
    # Every systemd and kubelet of every host takes some of these, and all hosts are one user to the kernel.
    if [ "$(sysctl -n fs.inotify.max_user_instances)" -lt 1024 ]; then sysctl -q -w fs.inotify.max_user_instances=1024; fi
    if ! dk network inspect "$NETWORK" >/dev/null 2>&1; then
        dk network create --subnet "$SUBNET.0/24" -o "com.docker.network.bridge.name=$BRIDGE" \
            -o "com.docker.network.driver.mtu=$(uplink_mtu)" --label "provision-lab=$LAB_NAME" "$NETWORK" >/dev/null ||
            die "cannot make network $SUBNET.0/24; is another lab or network using it? LAB_SUBNET=1..255 chooses another"
    fi
    if ! rules -C 2>/dev/null; then
        remove_rules
        rules -I
    fi
}

remove_network() {
    dk network rm "$NETWORK" >/dev/null 2>&1 || true
    remove_rules
}
