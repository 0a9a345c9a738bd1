# The door: the only script that changes a host. Standard input: the epoch, then one request.
#   put:  lines `dir <mode> <uid> <gid> <path>`, `file <mode> <uid> <gid> <size> <path>` + bytes, `link <target>` + line path
#   the others take their arguments one a line. No value ever stands in the text of a command.
set -eu
LC_ALL=C
export LC_ALL PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" DEBIAN_FRONTEND=noninteractive
umask 077
fail() { printf '%s\n' "$*" >&2; exit 1; }

IFS= read -r epoch
case $epoch in '' | *[!0-9]*) fail "no epoch: refused" ;; esac
IFS= read -r request

put() {
  work=/run/provision-put.$$
  trap 'rm -f "$work" "$work.names"' EXIT
  : >"$work"
  : >"$work.names"
  while IFS= read -r line; do
    kind=${line%% *}
    rest=${line#* }
    case $kind in
      dir)
        mode=${rest%% *}; rest=${rest#* }; uid=${rest%% *}; rest=${rest#* }; gid=${rest%% *}; path=${rest#* }
        [ -d "$path" ] || mkdir -m 0700 "$path"
        chown "$uid:$gid" "$path"; chmod "$mode" "$path"
        ;;
      file)
        mode=${rest%% *}; rest=${rest#* }; uid=${rest%% *}; rest=${rest#* }; gid=${rest%% *}; rest=${rest#* }
        size=${rest%% *}; path=${rest#* }
        [ ! -d "$path" ] || fail "$path is a directory"
        rm -f "$path.provision-new"
        dd bs=65536 iflag=fullblock,count_bytes count="$size" of="$path.provision-new" status=none
        chown "$uid:$gid" "$path.provision-new"; chmod "$mode" "$path.provision-new"
        printf '%s\n' "$path" >>"$work.names"
        ;;
      link)
        IFS= read -r path
        ln -sfn "$rest" "$path.provision-new"
        printf '%s\n' "$path" >>"$work.names"
        ;;
      end) break ;;
      *) fail "unknown line" ;;
    esac
  done
  # One sync for all contents, then all names at once: each file is the old or the new one, whenever the power goes.
  sync
  while IFS= read -r path; do mv -fT "$path.provision-new" "$path"; done <"$work.names"
  sync
}

send() {
  IFS= read -r mode; IFS= read -r owner; IFS= read -r digest; IFS= read -r path
  mkdir -p "$(dirname "$path")"
  new=$path.provision-new
  rm -f "$new"
  cat >"$new"
  seen=$(sha256sum "$new" | cut -c1-64)
  [ "$seen" = "$digest" ] || { rm -f "$new"; fail "$path arrived with digest $seen instead of $digest"; }
  chown "$owner" "$new"; chmod "$mode" "$new"
  sync "$new"
  mv -fT "$new" "$path"
  sync "$(dirname "$path")"
}

packages() {
  names=$(cat)
  lock="-o DPkg::Lock::Timeout=120"
  # shellcheck disable=SC2086 # options and names are words
  install() { apt-get $lock -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 install $names >/dev/null; }
  # The lists of a fresh machine are empty or old: they are fetched when the first try shows it.
  # shellcheck disable=SC2086 # options are words
  install 2>/dev/null || { apt-get $lock -qq update >/dev/null; install; }
}

user() {
  IFS= read -r name; IFS= read -r uid; IFS= read -r gid
  getent group "$name" >/dev/null || groupadd --system --gid "$gid" "$name"
  getent passwd "$name" >/dev/null ||
    useradd --system --uid "$uid" --gid "$gid" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$name"
}

modules() {
  while IFS= read -r module; do
    [ -d "/sys/module/$module" ] || modprobe "$module"
  done
}

sysctls() {
  while IFS=' ' read -r name value; do sysctl -qw "$name=$value"; done
}

units() {
  systemctl daemon-reload
  while IFS=' ' read -r verb unit; do
    case $verb in
      enable) systemctl -q enable "$unit" ;;
      start) systemctl start --no-block "$unit" ;;
      restart) systemctl restart "$unit" ;;
    esac
  done
}

remove() { while IFS= read -r path; do rm -f "$path"; done; }

import() { ctr -n k8s.io images import - >/dev/null; }
import_pinned() { ctr -n k8s.io images import --label io.cri-containerd.pinned=pinned - >/dev/null; }

case $request in
  put | send | packages | user | modules | sysctls | units | remove | import | import_pinned) "$request" ;;
  *) fail "unknown request $request" ;;
esac
