# shellcheck shell=bash
# The container engine that runs the hosts: the lab's own, on a socket of its own, started by hand and
# stopped by the number of its process. What other engines run on this machine is left alone: this one
# writes no firewall rules and makes no default bridge; the rules that the hosts need are in network.sh.

ENGINE_SOCKET=$RUN/docker.sock
ENGINE_PID=$RUN/docker.pid
ENGINE_DATA=$CACHE/engine

# dk ARG...: docker's client, speaking to the lab's engine.
dk() { DOCKER_HOST=${LAB_DOCKER_HOST:-unix://$ENGINE_SOCKET} DOCKER_CONTEXT='' "${DOCKER_CLIENT:-docker}" "$@"; }

engine_up() { dk version >/dev/null 2>&1; }

# engine_process: the number of the engine's process, if it runs and is ours.
engine_process() {
    local pid
    pid=$(cat "$ENGINE_PID" 2>/dev/null) || return 1
    grep -qz -- "$ENGINE_SOCKET" "/proc/$pid/cmdline" 2>/dev/null || return 1
    printf '%s\n' "$pid"
}

need_engine() {
    if [ -n "${LAB_DOCKER_HOST:-}" ]; then
        engine_up || die "no engine answers at LAB_DOCKER_HOST=$LAB_DOCKER_HOST"
        return
    fi
    with_lock engine start_engine
}

start_engine() {
    local shim
    if engine_up; then return; fi
    if engine_process >/dev/null; then await_engine; return; fi
    present need_shim || with_lock build need_shim
    # The engine keeps the path for as long as it runs; the part may be rebuilt meanwhile.
    shim=$RUN/runc-shim
    mkdir -p "$RUN" "$ENGINE_DATA" "$LOGS"
    install -m 755 "$PARTS/$PART/bin/shim" "$shim"
    echo "{}" >"$RUN/engine.json" # not the settings of another engine of this machine
    clear_engine
    say "starting the lab's container engine on $ENGINE_SOCKET (log: $LOGS/engine.log)"
    (close_inherited; exec setsid dockerd --data-root "$ENGINE_DATA" --exec-root "$RUN/exec" --pidfile "$ENGINE_PID" -H "unix://$ENGINE_SOCKET" \
        --config-file "$RUN/engine.json" --add-runtime "lab=$shim" --default-runtime lab --bridge none --iptables=false --ip6tables=false \
        --ip-forward=false --userland-proxy=false --log-driver json-file --log-opt max-size=10m) \
        </dev/null >"$LOGS/engine.log" 2>&1 &
    await_engine $!
}

# await_engine [PID]: until it answers; with the number of its process it is noticed at once when that ends.
await_engine() {
    local end=$((SECONDS + 60))
    until engine_up; do
        if [ "$SECONDS" -ge "$end" ] || { [ -n "${1:-}" ] && [ ! -d "/proc/$1" ]; }; then
            tail -n 5 "$LOGS/engine.log" >&2
            die "the container engine did not come up; its log is $LOGS/engine.log"
        fi
        sleep 0.2
    done
}

# clear_engine: takes away what a killed engine left: its containerd, should that live on, and the files
# that would make the next one believe that it does.
clear_engine() {
    local pid state=$RUN/exec/containerd
    pid=$(cat "$state/containerd.pid" 2>/dev/null || true)
    if [ -n "$pid" ] && grep -qz "$RUN/exec" "/proc/$pid/cmdline" 2>/dev/null; then
        kill -9 "$pid" || true
        while [ -d "/proc/$pid" ]; do sleep 0.1; done
    fi
    rm -f "$state"/containerd.pid "$state"/containerd*.sock* "$ENGINE_SOCKET" "$ENGINE_PID"
}

# stop_engine: ends the engine with its containerd, and takes its mounts and run folder away.
stop_engine() {
    local pid end=$((SECONDS + 30))
    if [ -n "${LAB_DOCKER_HOST:-}" ]; then return; fi
    if pid=$(engine_process); then
        say "stopping the lab's container engine"
        kill "$pid"
        while [ -d "/proc/$pid" ] && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
        if [ -d "/proc/$pid" ]; then kill -9 "$pid"; fi
    fi
    clear_engine
    unmount_below "$RUN/exec"
    unmount_below "$ENGINE_DATA"
    rm -rf --one-file-system "$RUN/exec"
    rm -f "$RUN/runc-shim" "$RUN/engine.json"
}
