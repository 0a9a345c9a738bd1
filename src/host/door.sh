# The door: the only script that changes a host. Standard input: the epoch, the kind of request, then what it is about,
# one value a line. No value ever stands in the text of a command.
set -eu
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
# A connection that breaks must not end us in the middle: what was begun is finished or taken back.
trap '' PIPE HUP
# Files that are too large to be digested at each look: `<digest> <size> <mtime> <ctime> <inode> <path>` a line.
digests=/var/lib/provision/digests
# A folder for each component that is being replaced; src/host/swap.sh tells what is in it.
swaps=/var/lib/provision/swap
fail() { printf '%s\n' "$*" >&2; exit 1; }

IFS= read -r epoch
case $epoch in '' | *[!0-9]*) fail "no epoch: refused" ;; esac
IFS= read -r request

# put: folders one a line, an empty line, then an archive. Each new file or link lies in `.provision-new` in its folder,
# has its mode from the first moment and is synced before it is renamed: whenever the power goes, the old one is there or
# the new one.
put() {
  folders=/run/provision-put.folders
  : >"$folders"
  trap 'clear_new; rm -f "$folders"' EXIT
  while IFS= read -r folder && [ -n "$folder" ]; do printf '%s\n' "$folder" >>"$folders"; done
  clear_new
  tar -xmpf - --numeric-owner -C /
  while IFS= read -r folder; do
    set --
    for new in "$folder"/.provision-new/*; do
      if [ -f "$new" ] && [ ! -L "$new" ]; then set -- "$@" "$new"; fi
      old=$folder/${new##*/}
      if [ -d "$old" ] && [ ! -L "$old" ]; then fail "$old is a directory"; fi
    done
    [ $# -eq 0 ] || sync "$@"
    mv -f -t "$folder" "$folder"/.provision-new/*
    sync "$folder"
  done <"$folders"
}
# clear_new: takes away what an interrupted put has left, and what this one leaves when it fails.
clear_new() { while IFS= read -r folder; do rm -rf "$folder/.provision-new"; done <"$folders"; }

# send: mode, owner, digest, path, then the bytes.
send() {
  IFS= read -r mode; IFS= read -r owner; IFS= read -r digest; IFS= read -r path
  folder=${path%/*}
  mkdir -p "$folder"
  new=$path.provision-new
  trap 'rm -f "$new"' EXIT
  rm -f "$new"
  # Synced as they come: a hundred megabytes synced at once would hold up etcd on the same disk for more than a second.
  dd of="$new" bs=4M iflag=fullblock oflag=dsync status=none
  seen=$(sha256sum <"$new")
  seen=${seen%% *}
  [ "$seen" = "$digest" ] || fail "$path arrived with digest $seen instead of $digest"
  chown "$owner" "$new"; chmod "$mode" "$new"
  sync "$new"
  if [ -d "$path" ]; then fail "$path is a directory"; fi
  mv -fT "$new" "$path"
  sync "$folder"
  remember "$digest" "$path"
}

# remember DIGEST PATH. A look trusts the digest as long as size, both times and the inode are the ones noted here:
# nothing writes to a file without setting its ctime to now, and ctime cannot be set otherwise but by turning the clock.
# Only a write within the kernel's clock tick (milliseconds) of the rename could hide; the file is root's alone then.
remember() {
  mkdir -p "${digests%/*}"
  [ -f "$digests" ] || : >"$digests"
  facts=$(find "$2" -maxdepth 0 -printf '%s %T@ %C@ %i %p')
  {
    path=$2 awk '{ line = $0; for (i = 0; i < 5; i++) sub(/^[^ ]* /, ""); if ($0 != ENVIRON["path"]) print line }' "$digests"
    printf '%s %s\n' "$1" "$facts"
  } >"$digests.new"
  mv -f "$digests.new" "$digests"
}

# failed_packages: the end of what apt has said, short enough for a message, and what to do. containerd's
# configuration is there before its package, which without that option asks whether it may replace it.
failed_packages() {
  said=$(grep -E '^(Err:|W:)' "$log" | head -n 1; grep -E '^(E:|dpkg: error)' "$log" | tail -n 3)
  [ -n "$said" ] || said=$(tail -n 4 "$log")
  if [ -n "$said" ]; then printf '%s\n' "$said" | cut -c 1-120 >&2; fi
  fail "where it reaches no mirror of its distribution, install them another way, with --force-confold, and run \`provision up\` again"
}

# packages: names. The work goes on when the connection breaks, so it writes to a file and not to us.
packages() {
  log=/run/provision-packages.log
  set --
  while IFS= read -r name; do set -- "$@" "$name"; done
  export DEBIAN_FRONTEND=noninteractive
  # What an interrupted installation has left.
  [ -z "$(dpkg --audit)" ] || dpkg --configure -a >"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; exit 1; }
  # The lists of a fresh machine are empty or old: they are fetched when the first try shows it. Where no mirror
  # answers, apt calls that a success and then does not know the packages: both words are kept.
  install "$@" >"$log" 2>&1 </dev/null || {
    apt-get -o DPkg::Lock::Timeout=300 -q update >"$log" 2>&1 </dev/null || failed_packages
    install "$@" >>"$log" 2>&1 </dev/null || failed_packages
  }
}
install() {
  apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 -q -y --no-install-recommends install -- "$@"
}

# user: name, uid, gid.
user() {
  IFS= read -r name; IFS= read -r uid; IFS= read -r gid
  getent group "$name" >/dev/null || groupadd --system --gid "$gid" "$name"
  getent passwd "$name" >/dev/null ||
    useradd --system --uid "$uid" --gid "$gid" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$name"
}

# modules: names. One that is built in is there and cannot be loaded.
modules() {
  while IFS= read -r module; do
    [ -d "/sys/module/$(printf %s "$module" | tr - _)" ] || modprobe "$module"
  done
}

# sysctls: `name = value`.
sysctls() { sysctl -qp -; }

# units: `enable <unit>`, `start <unit>`, `restart <unit>`. Enabling reads the unit files again by itself.
units() {
  reloaded=no
  while IFS=' ' read -r verb unit; do
    # Reading all units again takes a while: enabling does it, and what systemd has read as it is needs it no more. Of a
    # new folder of drop-ins it tells nothing, so what is restarted is read again in any case.
    case $verb:$reloaded:$(systemctl show -p LoadState -p NeedDaemonReload --value "$unit" | tr '\n' ' ') in
      enable:* | restart:yes:* | start:*:'loaded no ') ;;
      *) systemctl daemon-reload; reloaded=yes ;;
    esac
    case $verb in
      enable) systemctl -q enable "$unit" ;;
      start) systemctl start --no-block "$unit" ;;
      restart) systemctl restart "$unit" ;;
      *) fail "unknown verb $verb" ;;
    esac
  done
}

# remove: paths.
remove() { while IFS= read -r path; do rm -f "$path"; done; }

# import: the image's name, then its archive. Pinned images stay when kubelet clears the disk; containerd knows that
# label from 1.7 on.
import() {
  IFS= read -r name
  ctr -n k8s.io images import - >/dev/null
  [ -n "$(ctr -n k8s.io images ls -q "name==$name")" ] || fail "the archive does not hold $name"
  case $(containerd --version) in
    *' v1.'[0-6].* | *' 1.'[0-6].*) ;;
    *) ctr -n k8s.io images label "$name" io.cri-containerd.pinned=pinned >/dev/null ;;
  esac
}

# swap: `settle` or `replace`, the component's name, and for `replace` an archive of an intent with its files, of the
# program that goes by it and of the unit that ends at boot what was begun. What it prints is for us: a word, the reason,
# and the last lines of the one that was not taken.
swap() {
  answer=/run/provision-swap-$name.result
  rm -f "$answer"
  if [ -e "$swaps/$name/intent" ]; then as_unit settle; fi
  case $verb in
    settle) forget ;;
    replace) begin_swap; as_unit replace ;;
    *) fail "unknown verb $verb" ;;
  esac
  if [ -e "$answer" ]; then cat "$answer"; else echo 'done'; fi
}
# The program waits for one that is at it already. Where a unit of that name is there, it is at it.
as_unit() {
  systemd-run -q --collect --unit="provision-swap-$1-$name" -p Type=oneshot -p 'After=docker.service containerd.service' \
    /bin/sh "$swaps/program" "$1" "$name" >&2 </dev/null || :
  # Killed: what it has begun is still to be ended.
  if [ -e "$swaps/$name/intent" ]; then
    case $(head -n 1 "$answer" 2>/dev/null) in
      neither | unfinished) ;;
      *) /bin/sh "$swaps/program" settle "$name" >&2 </dev/null ;;
    esac
  fi
}
# A swap that has ended, and a container that was made for one which never began.
forget() {
  if [ -e "$swaps/$name/intent" ]; then return; fi
  rm -rf "${swaps:?}/$name"
  if ! command -v docker >/dev/null; then return; fi
  next=$(docker ps -aq --no-trunc --filter "name=^/$name\.next\$" --filter status=created </dev/null) || next=''
  [ -z "$next" ] || docker rm "$next" >/dev/null
}
# begin_swap: whenever the power goes, the intent is there whole or not at all.
begin_swap() {
  if [ -e "$answer" ] && [ "$(head -n 1 "$answer")" = unfinished ]; then cat "$answer"; exit; fi
  rm -f "$answer"
  # Components are replaced beside one another; what comes for them goes through one folder.
  exec 8>/run/provision-swap.lock
  flock -w 600 8 || fail "another run is at it: /run/provision-swap.lock"
  rm -rf "$swaps/.new"
  tar -xmpf - --numeric-owner -C /
  cd "$swaps/.new"
  # What is there now, so that it can be put back.
  while IFS=' ' read -r key number path; do
    if [ "$key" = early ] && { [ -e "$path" ] || [ -L "$path" ]; }; then cp -a "$path" "files/$number.old"; fi
  done <intent
  if ! grep -q '^kind unit$' intent; then
    old=$(docker inspect --type container -f '{{.Id}}' "$name") || fail "there is no container $name"
    new=$(docker inspect --type container -f '{{.Id}}' "$name.next") || fail "there is no container $name.next"
    printf 'old %s\nnew %s\n' "$old" "$new" >>intent
  fi
  unit=provision-settle.service
  if ! cmp -s "$unit" "/etc/systemd/system/$unit" || ! systemctl -q is-enabled "$unit" 2>/dev/null; then
    sync "$unit"; mv -fT "$unit" "/etc/systemd/system/$unit"
    systemctl -q enable "$unit"
    sync /etc/systemd/system /etc/systemd/system/multi-user.target.wants
  fi
  rm -f "$unit"
  find . ! -type l -exec sync {} +
  mv -fT program "$swaps/program"
  rm -rf "${swaps:?}/$name"
  mv -T "$swaps/.new" "$swaps/$name"
  exec 8>&-
  cd /
  sync "$swaps/$name" "$swaps"
}

case $request in
  put | send | packages | user | modules | sysctls | units | remove | import | swap) ;;
  save_snapshot | verify_snapshot | prepare_restore | restore_snapshot | discard_restore) ;;
  *) fail "unknown request $request" ;;
esac
# One writer at a time for each kind of request, and for each component that is replaced; others do not disturb it.
lock=/run/provision-$request.lock
# Giving a restore up, or going on with it, waits for what a connection that broke has left at work.
case $request in *_restore | restore_snapshot) lock=/run/provision-restore.lock ;; esac
if [ "$request" = swap ]; then IFS= read -r verb; IFS= read -r name; lock=/run/provision-swap-$name.lock; fi
exec 9>"$lock"
flock -w 600 9 || fail "another run is at it: $lock"
"$request"
