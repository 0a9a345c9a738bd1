# shellcheck shell=bash
# Copies of a host's disks. What an engine never writes again once it is there (unpacked image layers,
# content named by its digest) is linked, the rest is copied: a prepared host costs a second and hardly
# any disk, and programs that several hosts run are in memory once.

# fixed_folders DISK KIND BUSY: folders of an engine's disk that are never written again. BUSY is yes when
# containerd had containers, whose own layers cannot be told from images' by their folders.
fixed_folders() {
    local disk=$1 kind=$2 busy=$3 used layer
    case $kind in
    docker)
        used=$(cat "$disk"/image/overlay2/layerdb/mounts/*/{mount-id,init-id} 2>/dev/null || true)
        for layer in "$disk"/overlay2/*/diff; do
            layer=${layer#"$disk"/overlay2/}
            if ! grep -qx "${layer%/diff}" <<<"$used"; then printf '%s\n' "overlay2/$layer"; fi
        done
        ;;
    containerd)
        echo io.containerd.content.v1.content/blobs
        if [ "$busy" = no ]; then echo io.containerd.snapshotter.v1.overlayfs/snapshots; fi
        ;;
    esac
}

# can_link FROM TO: whether files can be linked between them; the same disk is not enough, see SNAPSHOTS.
can_link() {
    local linked=0
    touch "$1/.lab-link"
    ln "$1/.lab-link" "$2/.lab-link" 2>/dev/null || linked=1
    rm -f "$1/.lab-link" "$2/.lab-link"
    return "$linked"
}

# copy_disk FROM TO KIND BUSY: TO exists and is empty.
copy_disk() {
    local from=$1 to=$2 folder fixed
    if ! can_link "$from" "$to"; then
        cp -a --reflink=auto "$from/." "$to/"
        return
    fi
    mapfile -t fixed < <(fixed_folders "$from" "$3" "$4")
    tar -C "$from" --anchored --no-wildcards --exclude-from <(printf './%s\n' "${fixed[@]}") --xattrs --xattrs-include='*' --sparse -cf - . |
        tar -C "$to" --xattrs --xattrs-include='*' --same-permissions --numeric-owner -xf -
    for folder in "${fixed[@]}"; do
        if [ -d "$from/$folder" ]; then cp -al "$from/$folder" "$to/$folder"; fi
    done
}
