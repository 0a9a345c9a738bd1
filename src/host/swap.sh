# Replaces one running component of this host, proves the new one, and brings the old one back where that fails.
# The door starts it as a transient unit, so that it ends whoever is watching; provision-settle.service starts it at each
# boot. Arguments: `replace NAME`, `settle NAME`, or `settle` for whatever was begun.
#
# All that it goes by lies in /var/lib/provision/swap/NAME, synced before it starts: `intent`, a value a line, and `files`,
# new ones and those that they replace. It notes there `why` (the new one has failed), `log` (its last lines), `commit`
# (from then on there is only the way forward) and `result` (after `done` and `reverted` nothing is left to do). Each of
# its commands may be the last one before the power goes: whatever it does can be done again.
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
swaps=/var/lib/provision/swap
api_proxy=6444

# record FILE: standard input becomes the file, whole or not at all.
record() { cat >"$1.new" && sync "$1.new" && mv -fT "$1.new" "$1" && sync .; }
# now: seconds of a clock that nobody sets.
now() { IFS=' .' read -r seconds rest </proc/uptime; echo "$seconds"; }
# run COMMAND...: where it fails, its first words are the reason.
run() {
  said=$("$@" 2>&1 </dev/null) && return
  reason="$1 $2: $(printf '%s\n' "$said" | head -n 1)"
  return 1
}

read_intent() {
  kind='' name='' old='' new='' unit='' port=0 patience=60 stays=0 early=no cut=no kept=no going=on started=0 reason=''
  while IFS=' ' read -r key value; do
    case $key in
      kind) kind=$value ;; name) name=$value ;; old) old=$value ;; new) new=$value ;; unit) unit=$value ;;
      port) port=$value ;; patience) patience=$value ;; stays) stays=$value ;; early) early=yes ;;
    esac
  done <intent
}

# place FILE PATH: owner and mode come along; whenever the power goes, the old one is there or the new one.
place() {
  rm -f "$2.provision-new" && cp -a "$1" "$2.provision-new" || return
  [ -L "$2.provision-new" ] || sync "$2.provision-new" || return
  mv -fT "$2.provision-new" "$2" && sync "${2%/*}"
}
# place_all WHEN: `early` are those that the new one starts with, `late` those that only tell what runs.
place_all() {
  while IFS=' ' read -r key number path; do
    [ "$key" != "$1" ] || run place "files/$number" "$path" || return
  done <intent
}
# The early files as they were; one that was not there goes.
put_back() {
  while IFS=' ' read -r key number path; do
    [ "$key" = early ] || continue
    rm -f "$path.provision-new"
    if [ -e "files/$number.old" ] || [ -L "files/$number.old" ]; then
      run place "files/$number.old" "$path" || return
    else
      rm -f "$path" && sync "${path%/*}"
    fi
  done <intent
}

is_there() { docker inspect "$1" >/dev/null 2>&1 </dev/null; }
# At boot, and when Docker itself was started again.
await_docker() {
  [ "$kind" != unit ] || return
  end=$(($(now) + patience))
  until docker version >/dev/null 2>&1 </dev/null || [ "$(now)" -ge "$end" ]; do sleep 0.2; done
}

# starts ID: how often it was started again by itself.
starts() {
  if [ "$kind" = unit ]; then systemctl show -p NRestarts --value "$unit"; else docker inspect -f '{{.RestartCount}}' "$1"; fi 2>/dev/null </dev/null
}

# exit_code ID: how it ended the last time, in words that follow; nothing where nobody knows. A container that runs again has
# no exit code any more.
exit_code() {
  if [ "$kind" = unit ]; then
    code=$(journalctl -q --no-pager -o cat -u "$unit" --since "@$started" | sed -n 's/.*Main process exited, .*status=//p' | tail -n 1)
  else
    code=$(docker events --since "$started" --until "$(date +%s.%N)" --filter "container=$1" --filter event=die \
      --format '{{index .Actor.Attributes "exitCode"}}' | tail -n 1)
  fi 2>/dev/null </dev/null
  [ -z "$code" ] || echo ", the last time with exit code $code"
}

# ask PORT PATH AUTHORITY CERTIFICATE KEY: `plain` for an authority is no TLS, `-` is one that nobody knows.
ask() {
  case $3 in
    plain) to=TCP:127.0.0.1:$1 ;;
    -) to=OPENSSL:127.0.0.1:$1,verify=0 ;;
    *) to=OPENSSL:127.0.0.1:$1,cafile=$3 ;;
  esac
  [ "$4" = - ] || to=$to,cert=$4,key=$5
  # Without `shut-none` it would tell the server that nobody listens any more. It waits for five seconds.
  answer=$(printf 'GET %s HTTP/1.0\r\nHost: kubernetes\r\n\r\n' "$2" |
    socat -t 5 - "$to,connect-timeout=3,shut-none" 2>complaint)
  case $answer in
    'HTTP/1.'?' 200 '*) return 0 ;;
    'HTTP/1.'*)
      said=$(printf '%s\n' "$answer" | grep -F '[-]' | head -n 3 | tr '\n' ' ')
      status=$(printf '%s\n' "$answer" | head -n 1 | tr -d '\r')
      reason="port $1 answers ${status#* } to $2${said:+: $said}" ;;
    *)
      said=$(tail -n 1 complaint)
      reason="port $1 does not answer: ${said##*] E }" ;;
  esac
  return 1
}

# node NAME VERSION AUTHORITY CERTIFICATE KEY: what kubelet itself has told the API since it was started.
node() {
  ask "$api_proxy" "/api/v1/nodes/$1" "$3" "$4" "$5" || return
  version=$(printf '%s\n' "$answer" | sed -n 's/.*"kubeletVersion":"\([^"]*\)".*/\1/p')
  ready=$(printf '%s\n' "$answer" | sed -n 's/.*"type":"Ready","status":"\([^"]*\)","lastHeartbeatTime":"\([^"]*\)".*/\1 \2/p')
  beat=$(date -d "${ready#* }" +%s 2>/dev/null) || beat=0
  if [ "$beat" -lt "$started" ]; then reason="node $1 has not reported since"; return 1; fi
  case $ready in 'True '*) ;; *) reason="node $1 is not ready"; return 1 ;; esac
  # On the way back it is the version that was there.
  if [ "$going" = on ] && [ "$version" != "$2" ]; then reason="node $1 reports kubelet $version instead of $2"; return 1; fi
}

# runtime: what of containerd serves kubelet, and its own words where it does not.
runtime() {
  said=$(timeout 5 ctr plugins ls 2>&1 </dev/null) ||
    { reason="containerd does not answer: $(printf '%s\n' "$said" | tail -n 1)"; return 1; }
  status=$(printf '%s\n' "$said" | while read -r _ plugin rest; do [ "$plugin" != cri ] || echo "${rest##* }"; done)
  [ "$status" != ok ] || return 0
  said=$(timeout 5 ctr plugins ls -d id==cri 2>&1 </dev/null | sed -n 's/^[[:space:]]*Message:[[:space:]]*//p' | tail -n 1)
  reason="containerd serves no pods: its plugin cri is ${status:-not there}${said:+: $said}"
  return 1
}

# healthy: every probe of the intent.
healthy() {
  while IFS=' ' read -r key what first second third fourth fifth; do
    [ "$key" = probe ] || continue
    case $what in
      http) ask "$first" "$second" plain - - || return ;;
      https) ask "$first" "$second" "$third" "$fourth" "$fifth" || return ;;
      node) node "$first" "$second" "$third" "$fourth" "$fifth" || return ;;
      runtime) runtime || return ;;
      *) reason="unknown probe $what"; return 1 ;;
    esac
  done <intent
}

# prove ID: healthy within the patience, and then for as long as is asked without being started again.
prove() {
  end=$(($(now) + patience)) since='' counted='' reason='' base=''
  # The new container has never run before.
  if [ "$going" = on ] && [ "$kind" != unit ]; then base=0; fi
  while :; do
    count=$(starts "$1") || count=''
    if [ -z "$count" ]; then reason='nobody knows whether it runs'; return 1; fi
    : "${base:=$count}"
    if [ -n "$counted" ] && [ "$count" != "$counted" ]; then reason="it ended by itself after it was healthy$(exit_code "$1")"; return 1; fi
    # One that waits for others may end once or twice.
    if [ $((count - base)) -ge 3 ]; then reason="it ends by itself, $((count - base)) times so far$(exit_code "$1")"; return 1; fi
    if healthy; then
      if [ -z "$since" ]; then since=$(now) counted=$count; fi
      [ $(($(now) - since)) -lt "$stays" ] || return 0
    else
      since=''
      if [ "$(now)" -ge "$end" ]; then
        reason="$reason, after $patience s"
        if [ "$count" != "$base" ]; then reason="$reason, in which it ended by itself$(exit_code "$1")"; fi
        return 1
      fi
    fi
    sleep 0.2
  done
}

# listens ID: one of the container's processes has the port, whoever else has it too.
listens() {
  end=$(($(now) + patience))
  while :; do
    for process in $(ss -Hltnp "sport = :$port" | grep -o 'pid=[0-9]*'); do
      if grep -qs "$1" "/proc/${process#pid=}/cgroup"; then return 0; fi
    done
    count=$(starts "$1") || count=0
    if [ "$count" -ge 3 ]; then reason="it ends by itself, $count times so far$(exit_code "$1")"; return 1; fi
    if [ "$(now)" -ge "$end" ]; then reason="it does not listen on port $port, after $patience s"; return 1; fi
    sleep 0.2
  done
}

# A reboot must bring one of the two at any moment: the old one's policy goes only when it is stopped, and before the new
# one starts. A container that was never started is not started at boot.
exchange() {
  case $kind in
    container)
      run docker stop "$old" && place_all early && run docker update --restart=no "$old" && run docker start "$new" ;;
    beside) place_all early && run docker start "$new" && listens "$new" && run docker stop "$old" && run docker update --restart=no "$old" ;;
    unit) place_all early && run systemctl daemon-reload && run systemctl restart "$unit" ;;
  esac
}

# Where we were cut, a reboot may have started it with the new one's files.
start_old() {
  verb=start
  if [ "$early$cut" = yesyes ]; then verb=restart; fi
  run docker update --restart=always "$old" && run docker "$verb" "$old"
}

# The same way back.
take_back() {
  case $kind in
    container)
      if is_there "$new"; then run docker stop "$new" && run docker update --restart=no "$new" || return; fi
      put_back && start_old ;;
    beside)
      # It may be all that the host has: the new one goes only for an old one that listens.
      if ! { put_back && start_old && listens "$old"; }; then kept=yes; return 1; fi
      if is_there "$new"; then run docker stop "$new" && run docker update --restart=no "$new"; fi ;;
    unit) put_back && run systemctl daemon-reload && run systemctl restart "$unit" ;;
  esac
}

last_lines() {
  if [ "$kind" = unit ]; then
    # Its own, without systemd's.
    journalctl -q --no-pager -o cat -n 20 --since "@$started" "_SYSTEMD_UNIT=$unit"
  else
    docker logs --tail 20 "$new"
  fi 2>&1 </dev/null
}

# conclude WORD REASON: the door waits for the answer in /run, where no disk can be full. Files may hold secrets and go
# when nothing is left to do.
conclude() {
  said=$(printf '%s' "$2" | tr '\n' ' ')
  { printf '%s\n%s\n' "$1" "$said"; cat log; } >"/run/provision-swap-$me.result" 2>/dev/null
  printf '%s\n%s\n' "$1" "$said" | record result
  case $1 in done | reverted) clean ;; esac
}
clean() { rm -rf files intent why commit complaint ./*.new; }

replace() {
  started=$(date +%s)
  if exchange && prove "$new"; then
    if date +%s | record commit; then finish; return; fi
    reason='the outcome cannot be noted: is the disk full?'
  fi
  back
}

# The new one is proven.
finish() {
  rm -f log
  if place_all late && { [ "$kind" = unit ] || succeed; }; then conclude 'done' ''; else conclude unfinished "$reason"; fi
}
succeed() {
  if is_there "$old"; then run docker rm -v "$old" || return; fi
  [ "$(docker inspect -f '{{.Name}}' "$new" 2>&1)" = "/$name" ] || run docker rename "$new" "$name"
}

# back: the reason is why the new one is not taken.
back() {
  why=$(cat why 2>/dev/null) || why=$reason
  [ -e why ] || printf '%s\n' "$why" | record why
  await_docker
  [ -e log ] || last_lines | record log
  going=back started=$(date +%s)
  if take_back && prove "$old"; then word=reverted reason=''; else word=neither; fi
  if [ "$kind" != unit ] && [ "$kept" = no ] && is_there "$new" && ! run docker rm -v "$new"; then word=neither; fi
  conclude "$word" "$why${reason:+; the old one: $reason}"
}

settle() {
  case $(head -n 1 result 2>/dev/null) in done | reverted) clean; return ;; esac
  if [ -e commit ]; then finish; return; fi
  reason='it was interrupted before it was proven' cut=yes
  back
}

# One at a time for each component. What we start holds the lock as well: where we are killed, it is free when the last of
# them has ended.
with() {
  me=$2
  exec 9>"/run/provision-swap-$me.program"
  flock 9
  cd "$swaps/$me" && [ -e intent ] || return 0
  read_intent
  # The door has seen to it; without both nothing may be touched.
  if [ "$kind" != unit ] && { [ -z "$old" ] || [ -z "$new" ]; }; then echo "$me: no containers in the intent" >&2; return 1; fi
  "$1"
}

case $#:${1-} in
  2:replace | 2:settle) with "$1" "$2" ;;
  1:settle)
    for folder in "$swaps"/*/; do
      folder=${folder%/}
      [ ! -e "$folder/intent" ] || (with settle "${folder##*/}")
    done ;;
  *) echo "usage: replace NAME | settle [NAME]" >&2; exit 2 ;;
esac
