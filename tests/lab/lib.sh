# shellcheck shell=bash
# What every part of the lab uses: messages, locks, and the cache of built parts.

CACHE=${PROVISION_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/provision-lab}
PARTS=$CACHE/parts
LOGS=$CACHE/logs
# What dies with the machine (engine's socket, noted kernel settings) lives where a reboot empties it.
RUN=${PROVISION_LAB_RUN:-/run/provision-lab}

say() { printf 'lab: %s\n' "$*" >&2; }
die() {
    printf 'lab: error: %s\n' "$*" >&2
    exit 1
}

# closure NAME: the text of the function NAME and of all functions of ours that stand in it as words.
closure() {
    local todo=("$1") seen=" say die " name word text all
    all=$(declare -F | awk '{print $3}' | sort)
    while [ ${#todo[@]} -gt 0 ]; do
        name=${todo[0]}
        todo=("${todo[@]:1}")
        case $seen in *" $name "*) continue ;; esac
        seen+="$name "
        text=$(declare -f "$name")
        printf '%s\n' "$text"
        while read -r word; do todo+=("$word"); done < <(
            comm -12 <(printf '%s\n' "$all") <(tr -s '[:space:];(){}|&"' '\n' <<<"$text" | grep -xE '[a-z_][a-z0-9_]+' | sort -u)
        )
    done
}

# The texts of builders, and the parts of calls, that were found out already: it takes some hundred processes.
declare -A CLOSURES=() FOUND=()

# recipe BUILDER ARG...: sets RECIPE, the key of a part: a hash of the text that builds it, and of its arguments.
recipe() {
    if [ -z "${CLOSURES[$1]:-}" ]; then CLOSURES[$1]=$(closure "$1"); fi
    RECIPE=$({ printf '%s\n' "${CLOSURES[$1]}"; printf '%s\0' "${@:2}"; } | sha256sum | cut -c1-16)
}

# source_key FOLDER: a hash of the files in a folder of sources, for use as an argument of a recipe.
source_key() {
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
}

# part NAME BUILDER ARG...: makes the part NAME by `BUILDER FOLDER ARG...` unless the cache has it from
# the same recipe, and sets PART to NAME/KEY, its folder under $PARTS. A part appears by one rename,
# so one that is there is whole; those of older recipes are removed
# (of bundles once the new one is published).
part() {
    local call="$*" name=$1 builder=$2 work started status teller
    PART=${FOUND[$call]:-}
    if [ -n "$PART" ]; then return; fi
    shift 2
    recipe "$builder" "$@"
    PART=$name/$RECIPE
    if [ -d "$PARTS/$PART" ]; then
        FOUND[$call]=$PART
        return
    fi
    if [ "${BUILD:-yes}" = no ]; then exit 3; fi
    mkdir -p "$CACHE/tmp" "$LOGS" "$PARTS/$name"
    work=$(mktemp -d "$CACHE/tmp/$name.XXXXXX")
    chmod 755 "$work"
    say "building $name (log: $LOGS/$name.log)"
    started=$SECONDS
    tell_time "$name" "$started" >/dev/null &
    teller=$!
    set +e
    (
        set -e
        "$builder" "$work" "$@"
    ) >"$LOGS/$name.log" 2>&1
    status=$?
    set -e
    kill "$teller"
    if [ "$status" -ne 0 ]; then
        tail -n 15 "$LOGS/$name.log" >&2
        rm -rf "$work"
        die "building $name failed after $((SECONDS - started)) s; the whole log is $LOGS/$name.log"
    fi
    mv -T "$work" "$PARTS/$PART"
    case $name in bundle-*) ;; *) prune_part ;; esac
    say "built $name in $((SECONDS - started)) s, $(du -sh "$PARTS/$PART" | cut -f1)"
}

# tell_time NAME STARTED: says every half minute that a build goes on, as long as this call lives.
tell_time() {
    local nap=
    trap 'kill $nap; exit 0' TERM
    close_inherited
    while kill -0 $$ 2>/dev/null; do
        # Nothing of ours may hold the caller's output open.
        sleep 30 >/dev/null 2>&1 &
        nap=$!
        wait "$nap"
        say "still building $1, $((SECONDS - $2)) s"
    done
}

# prune_part: removes the folders of older recipes of the part in PART.
prune_part() { find "$PARTS/${PART%/*}" -mindepth 1 -maxdepth 1 ! -name "${PART#*/}" -exec rm -rf {} +; }

# present NEED ARG...: sets PART as NEED does if all that it needs is there. Takes no lock, so that a long build
# of something else holds nobody up who builds nothing.
present() {
    local found
    found=$(BUILD=no; "$@"; printf '%s\n' "$PART") || return 1
    PART=$found
}

# have_part NAME BUILDER ARG...: whether the part is there.
have_part() {
    recipe "${@:2}"
    [ -d "$PARTS/$1/$RECIPE" ]
}

# unmount_below FOLDER: what a killed program left mounted in it, innermost first.
unmount_below() {
    local path
    while read -r path; do umount -l "$path"; done < <(
        awk -v folder="$1/" 'index($5 "/", folder) == 1 {print $5}' /proc/self/mountinfo | sort -r
    )
}

# sweep: removes what a killed build left. Called under the build lock, so nobody is using it.
sweep() {
    mkdir -p "$CACHE/tmp"
    unmount_below "$CACHE/tmp"
    find "$CACHE/tmp" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} +
}

# swept NEED ARG...: makes a part, after what a killed build left was removed.
swept() {
    sweep
    "$@"
}

# with_lock NAME COMMAND...: runs COMMAND while no other lab call does the same. The lock ends with the
# process, however it ends.
with_lock() {
    local name=$1 fd
    shift
    mkdir -p "$CACHE/locks"
    exec {fd}>"$CACHE/locks/$name"
    if ! flock -n "$fd"; then
        say "waiting for another call that holds $CACHE/locks/$name"
        flock "$fd"
    fi
    "$@"
    exec {fd}>&-
}

# close_inherited: for a process that may outlive this call: it would hold our locks, and pipes and locks of whoever called.
close_inherited() {
    local path fd
    for path in "/proc/$BASHPID/fd"/*; do
        fd=${path##*/}
        if [ "$fd" -gt 2 ]; then exec {fd}>&-; fi
    done
}
