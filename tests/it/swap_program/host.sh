#!/bin/sh
# A host as the swap program sees it: Docker, systemd and socat over files, and a power cut before any chosen command.
# Called by the name of each of them. `$state/cut` holds the number of the command before which the power goes; those that
# only look do not count.
state=/var/lib/state
name=${0##*/}
case $name:${1-} in
  docker:inspect | docker:logs | docker:events | docker:version | systemctl:show | socat:* | ctr:* | ss:* | sleep:* | grep:* | journalctl:*) ;;
  *)
    echo >>"$state/count"
    read -r cut <"$state/cut"
    [ "$cut" = 0 ] || [ "$(wc -l <"$state/count")" -lt "$cut" ] || kill -KILL 0 ;;
esac

running() { for one in "$state"/containers/*/running; do [ -e "$one" ] && { one=${one%/running}; echo "${one##*/}"; }; done; }
find_container() { for one in "$state"/containers/*; do [ "${one##*/}" = "$1" ] || [ "$(/bin/cat "$one/name")" = "$1" ] && { echo "$one"; return; }; done; return 1; }
healthy() {
  if [ -e "$state/unit" ]; then grep -q good "$state/loaded"; return; fi
  if [ "$(running | wc -l)" -gt 1 ] && [ ! -e "$state/beside" ]; then touch "$state/both"; fi
  for one in $(running); do [ -e "$state/containers/$one/healthy" ] || return 1; done
  [ -n "$(running)" ]
}

# A container reads its files when it starts.
start() {
  [ -e "$1/running" ] || /bin/cat /var/lib/certificates/x >"$1/read"
  touch "$1/running" "$1/started"
}

docker() {
  for last; do :; done
  case $1 in
    version) return ;;
    logs) echo 'a last line' >&2; return ;;
    events) echo 7; return ;;
  esac
  if [ "$1" = rename ]; then last=$2; fi
  container=$(find_container "$last") || { echo "No such container: $last" >&2; return 1; }
  case $1:$2:$3 in
    inspect:-f:*RestartCount*)
      # One that is to crash does so between two looks.
      if [ -e "$container/crashes" ] && [ -e "$container/running" ]; then echo x >>"$container/restarts"; fi
      if [ -e "$container/restarts" ]; then wc -l <"$container/restarts"; else echo 0; fi ;;
    inspect:-f:*Name*) echo "/$(/bin/cat "$container/name")" ;;
    inspect:*) ;;
    update:--restart=*) echo "${2#--restart=}" >"$container/policy" ;;
    start:*)
      if [ -e "$container/cannot-start" ]; then echo 'exec: "x": executable file not found' >&2; return 1; fi
      start "$container" ;;
    restart:*) /bin/rm -f "$container/running"; start "$container" ;;
    stop:*) /bin/rm -f "$container/running" ;;
    rm:*) [ ! -e "$container/running" ] && /bin/rm -r "$container" ;;
    rename:*) echo "$3" >"$container/name" ;;
    *) echo "docker $*" >>"$state/unknown"; return 1 ;;
  esac
}

case $name in
  docker) docker "$@" ;;
  socat)
    /bin/cat >/dev/null
    if healthy; then printf 'HTTP/1.0 200 OK\r\n\r\n'; else printf 'HTTP/1.0 500 Internal\r\n\r\n[-]etcd failed: reason withheld\n'; fi ;;
  ctr)
    case "$*" in *'-d id==cri') printf 'Error:\n        Code:        Unknown\n        Message:     no such key\n'; exit ;; esac
    if healthy; then status=ok; else status=error; fi
    printf 'TYPE                    ID       PLATFORMS      STATUS\n'
    printf 'io.containerd.grpc.v1   images   -              ok\nio.containerd.grpc.v1   cri      linux/amd64    %s    \n' $status ;;
  ss) for one in $(running); do echo "users:((\"x\",pid=$one,fd=3))"; done ;;
  systemctl)
    case $1 in
      show) echo 0 ;;
      restart) /bin/cat /var/lib/units/x.service /var/lib/units/link >"$state/loaded" ;;
      daemon-reload) ;;
      *) echo "systemctl $*" >>"$state/unknown" ;;
    esac ;;
  journalctl) echo 'a last line' ;;
  sleep) /bin/sleep 0.01 ;;
  # The processes of the containers are none of the machine that this runs on.
  grep) case "$*" in "-qs $2 /proc/"*) [ "$3" = "/proc/$2/cgroup" ] ;; *) exec /bin/grep "$@" ;; esac ;;
  *) exec "/bin/$name" "$@" ;;
esac
