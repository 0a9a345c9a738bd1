# shellcheck shell=bash
# The hosts: containers of the lab's engine that start an init and an SSH server, as a fresh machine does.

HOST_REPOSITORY=provision-lab/host
SNAPSHOT_REPOSITORY=provision-lab/snapshot
# Inside the engine's folder, which the engine mounts over itself: links do not reach across mounts.
SNAPSHOTS=$ENGINE_DATA/lab-snapshots
KEY=$TARGET/id_ed25519
# Folders of a host that cannot lie on its overlay root: both engines put overlays of their own there.
HOST_FOLDERS="docker containerd"

container() { printf '%s-%s\n' "$LAB_NAME" "$1"; }
volume() { printf 'provision-%s-%s-%s\n' "$LAB_NAME" "$1" "$2"; }
address() {
    case $1 in
    registry) printf '%s.5\n' "$SUBNET" ;;
    *) printf '%s.%s\n' "$SUBNET" "$((10 + ${1#h}))" ;;
    esac
}
volume_path() { dk volume inspect -f '{{.Mountpoint}}' "$1"; }

# host_names: the hosts that this lab has, in order.
host_names() {
    dk ps -a --filter "label=provision-lab=$LAB_NAME" --filter label=provision-lab-host --format '{{.Label "provision-lab-host"}}' | sort -V
}

has_host() { dk container inspect "$(container "$1")" >/dev/null 2>&1; }

# parse_hosts SPEC: sets CONTROLS and WORKERS from n or n+w.
parse_hosts() {
    [[ $1 =~ ^([1-9][0-9]?)(\+([0-9][0-9]?))?$ ]] || die "HOSTS=$1 is not understood: 1, 3, 3+1 (n control planes, w workers)"
    CONTROLS=${BASH_REMATCH[1]}
    WORKERS=${BASH_REMATCH[3]:-0}
}

need_key() {
    mkdir -p "$TARGET"
    if [ ! -s "$KEY" ] || [ ! -s "$KEY.pub" ]; then
        rm -f "$KEY" "$KEY.pub"
        ssh-keygen -q -t ed25519 -N '' -C "lab $LAB_NAME" -f "$KEY"
    fi
    chmod 600 "$KEY"
}

# root_image REPOSITORY: the root in PART as an image of the engine; sets ROOT_IMAGE.
root_image() {
    ROOT_IMAGE=$1:${PART#*/}
    if dk image inspect "$ROOT_IMAGE" >/dev/null 2>&1; then return; fi
    say "loading the image of ${PART%/*}"
    dk import -c 'CMD ["/usr/sbin/lab-init"]' "$PARTS/$PART/rootfs.tar" "$ROOT_IMAGE" >/dev/null
}

# need_host_image: sets HOST_IMAGE.
need_host_image() {
    present need_host || with_lock build swept need_host
    root_image "$HOST_REPOSITORY"
    HOST_IMAGE=$ROOT_IMAGE
}

# create_machine NAME ROUTE ARG...: a container that is a machine in the lab's network; ARGs end with the image.
create_machine() {
    local name=$1 route=$2
    shift 2
    dk create --name "$(container "$name")" --hostname "$name" --label "provision-lab=$LAB_NAME" \
        --privileged --cgroupns=private --stop-signal SIGRTMIN+3 --stop-timeout 20 \
        --network "$NETWORK" --ip "$(address "$name")" --add-host "$REGISTRY_NAME:$(address registry)" \
        --tmpfs /run:mode=755 --tmpfs /run/lock:mode=1777 -e "LAB_ROUTE=$route" \
        -e "LAB_IDENTITY=$(cat /proc/sys/kernel/random/uuid)" -e "LAB_DNS=$(nameservers)" -e "LAB_KEY=$(cat "$KEY.pub")" \
        "$@" >/dev/null
}

# make_host NAME IMAGE: creates and starts a host, and waits for nothing.
make_host() {
    local name=$1 image=$2 folder mounts=()
    for folder in $HOST_FOLDERS; do mounts+=(-v "$(volume "$name" "$folder"):/var/lib/$folder"); done
    create_machine "$name" "${HOSTS_ROUTE:-open}" --label "provision-lab-host=$name" "${mounts[@]}" "$image"
    dk start "$(container "$name")" >/dev/null
}

# set_route NAME ROUTE: the host's way out of the lab: open, none or dead.
set_route() { dk exec "$(container "$1")" lab-route "$2"; }

# fresh_host NAME SNAPSHOT: makes the host new, from the snapshot if one is named.
fresh_host() {
    local name=$1 snapshot=$2 folder
    remove_host "$name"
    for folder in $HOST_FOLDERS; do
        dk volume create --label "provision-lab=$LAB_NAME" "$(volume "$name" "$folder")" >/dev/null
        if [ -n "$snapshot" ]; then
            copy_disk "$SNAPSHOTS/$snapshot/$folder" "$(volume_path "$(volume "$name" "$folder")")" "$folder" \
                "$(cat "$SNAPSHOTS/$snapshot/busy")"
        fi
    done
    if [ -n "$snapshot" ]; then make_host "$name" "$SNAPSHOT_REPOSITORY:$snapshot"; else make_host "$name" "$HOST_IMAGE"; fi
}

remove_host() {
    local folder
    dk rm -f -v "$(container "$1")" >/dev/null 2>&1 || true
    for folder in $HOST_FOLDERS; do dk volume rm -f "$(volume "$1" "$folder")" >/dev/null 2>&1 || true; done
}

# on_host NAME COMMAND...: over SSH, as the tool comes.
on_host() {
    local name=$1
    shift
    ssh -q -i "$KEY" -o BatchMode=yes -o ConnectTimeout=5 -o "UserKnownHostsFile=$TARGET/cluster.known_hosts" \
        -o StrictHostKeyChecking=yes "root@$(address "$name")" "$@"
}

# await_host NAME: until it takes our key, or is the registry and answers.
await_host() {
    local end=$((SECONDS + 60))
    if [ "$1" = registry ]; then await_registry; return; fi
    until on_host "$1" true </dev/null 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ]; then die "host $1 took no SSH login within 60 s: $(dk logs --tail 5 "$(container "$1")" 2>&1)"; fi
        sleep 0.1
    done
}

# await_keys NAME: its SSH host keys as lines of a known hosts file. Read from inside, not over the network.
await_keys() {
    local end=$((SECONDS + 60)) keys
    # The host's own variable.
    # shellcheck disable=SC2016
    until keys=$(dk exec "$(container "$1")" sh -c 'grep -qx "$LAB_IDENTITY" /var/lib/lab-identity && cat /etc/ssh/ssh_host_*_key.pub' 2>/dev/null); do
        if [ "$SECONDS" -ge "$end" ]; then die "host $1 did not start within 60 s: $(dk logs --tail 5 "$(container "$1")" 2>&1)"; fi
        sleep 0.1
    done
    awk -v address="$(address "$1")" '{print address, $1, $2}' <<<"$keys"
}

# write_known_hosts NAME...
write_known_hosts() {
    local name
    for name in "$@"; do await_keys "$name"; done >"$TARGET/.known_hosts.new"
    mv "$TARGET/.known_hosts.new" "$TARGET/cluster.known_hosts"
}

# make_hosts COUNT SNAPSHOT FRESH: hosts h1..hCOUNT. One that is there is kept, unless FRESH is yes.
make_hosts() {
    local count=$1 snapshot=$2 fresh=$3 name existing names=()
    mapfile -t existing < <(host_names)
    if [ ${#existing[@]} -gt "$count" ] && [ "$fresh" != yes ]; then
        die "this lab has ${#existing[@]} hosts already; take them away first: make lab-down"
    fi
    for ((i = 1; i <= count; i++)); do names+=("h$i"); done
    # `cargo clean` takes the key, and with it the way into the hosts.
    if [ ! -s "$KEY" ] && [ ${#existing[@]} -gt 0 ]; then
        say "the key in $TARGET is gone: making the hosts anew"
        fresh=yes
    fi
    need_key
    if [ "$fresh" = yes ]; then
        for name in "${existing[@]}"; do remove_host "$name"; done
        # They belong to a cluster that is no more.
        rm -rf --one-file-system "$TARGET/cluster.state" "$TARGET/kubeconfig"
    fi
    need_network
    for name in "${names[@]}"; do
        if has_host "$name"; then
            dk start "$(container "$name")" >/dev/null
        else
            fresh_host "$name" "$snapshot"
        fi
    done
    write_known_hosts "${names[@]}"
    for name in "${names[@]}"; do
        await_host "$name"
        if [ -n "$HOSTS_ROUTE" ]; then set_route "$name" "$HOSTS_ROUTE"; fi
    done
    if [ -n "$snapshot" ]; then for name in "${names[@]}"; do renew_record "$name"; done; fi
}

# renew_record NAME: a copied file has another inode and other times than the one that was sent, so the host's record of
# large files would not count and each look would read them all. Only lines of files that are there are kept.
renew_record() {
    # The variables are the host's.
    # shellcheck disable=SC2016
    dk exec "$(container "$1")" sh -c 'cd /var/lib/provision 2>/dev/null && [ -f digests ] || exit 0
        while read -r digest _ _ _ _ path; do
            find "$path" -maxdepth 0 -printf "$digest %s %T@ %C@ %i %p\n" 2>/dev/null
        done <digests >digests.new
        mv digests.new digests'
}

# hosts_need COUNT: the MiB of disk that the hosts take that are still to be made.
hosts_need() {
    local have
    have=$(host_names | wc -l)
    echo $(($1 > have ? 3000 * ($1 - have) + 1000 : 0))
}

# hosts_room COUNT: room for the hosts that are still to be made.
hosts_room() {
    local have
    have=$(host_names | wc -l)
    if [ "$1" -gt "$have" ]; then
        need_room "$ENGINE_DATA" "$(hosts_need "$1")" "making $(($1 - have)) hosts"
        need_memory $((2000 * ($1 - have) + 500)) "making $(($1 - have)) hosts"
    fi
}

# busy_host NAME: whether its containerd has containers.
busy_host() {
    # The variables are the host's.
    # shellcheck disable=SC2016
    local script='for n in $(ctr namespaces ls -q); do ctr -n "$n" containers ls -q || echo unknown; done'
    if [ -z "$(dk exec "$(container "$1")" sh -c "command -v ctr >/dev/null || exit 0; $script" 2>&1)" ]; then echo no; else echo yes; fi
}

# take_snapshot NAME TAG: keeps the host's disks, for `lab hosts --from TAG`. The host is stopped meanwhile.
take_snapshot() {
    local name=$1 tag=$2 folder busy new=$SNAPSHOTS/.$2.new
    has_host "$name" || die "no host $name in lab $LAB_NAME"
    mkdir -p "$SNAPSHOTS"
    rm -rf --one-file-system "${SNAPSHOTS:?}/$tag" "$new"
    mkdir "$new"
    dk start "$(container "$name")" >/dev/null
    await_host "$name"
    busy=$(busy_host "$name")
    echo "$busy" >"$new/busy"
    dk stop "$(container "$name")" >/dev/null
    dk commit "$(container "$name")" "$SNAPSHOT_REPOSITORY:$tag" >/dev/null
    for folder in $HOST_FOLDERS; do
        mkdir "$new/$folder"
        copy_disk "$(volume_path "$(volume "$name" "$folder")")" "$new/$folder" "$folder" "$busy"
    done
    present need_host || with_lock build swept need_host
    echo "$PART" >"$new/host"
    mv -T "$new" "$SNAPSHOTS/$tag"
    dk start "$(container "$name")" >/dev/null
    await_host "$name"
}

# has_snapshot TAG: whether it is whole, and was made on today's host image.
has_snapshot() {
    [ -d "$SNAPSHOTS/$1" ] && dk image inspect "$SNAPSHOT_REPOSITORY:$1" >/dev/null 2>&1 || return 1
    present need_host || return 1
    [ "$(cat "$SNAPSHOTS/$1/host")" = "$PART" ]
}

# remove_snapshots PATTERN: every snapshot whose tag it matches, as the shell matches names.
remove_snapshots() {
    local path tag
    for path in "$SNAPSHOTS"/*; do
        tag=${path##*/}
        # The pattern is meant as one.
        # shellcheck disable=SC2053
        if [[ $tag != $1 ]] || [ ! -d "$path" ]; then continue; fi
        rm -rf --one-file-system "${SNAPSHOTS:?}/$tag"
        dk image rm "$SNAPSHOT_REPOSITORY:$tag" >/dev/null 2>&1 || true
    done
}
