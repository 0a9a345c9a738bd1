# Tells what is on a host. Reads only. Standard input: lines `<kind> <value>`; output: sections that begin with
# \036<name> on a line of their own. Names of files may hold anything but a zero byte, which ends each of them.
set -uf
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
# Written by the door: `<digest> <size> <mtime> <ctime> <inode> <path>` of large files.
digests=/var/lib/provision/digests
newline='
'
# Files of the last day and an hour. The first `"key":"` of an event is its own and not within a text: there its quotes
# would be escaped.
count_events() {
  [ -d /var/log/kube-audit ] || { echo 'there is no /var/log/kube-audit' >&2; exit 1; }
  IFS=$newline
  files=$(find /var/log/kube-audit -maxdepth 1 -type f -name 'audit*.log' -mmin -1500)
  [ -n "$files" ] || exit 0
  # shellcheck disable=SC2086 # a list
  { timeout 45 nice -n 19 grep -aFh -e "\"$2\":\"" -- $files; [ $? -le 1 ] || echo cut; } | awk -v most="$1" '
    function after(text, key, at) { at = index(text, key); return at ? substr(text, at + length(key)) : "" }
    function string(text) { return match(text, /^([^"\\]|\\.)*"/) ? substr(text, 1, RLENGTH - 1) : "" }
    function field(name, text) { return "\"" name "\":\"" text "\"" }
    $0 == "cut" { cut = 1; next }
    {
      rest = after($0, "\"user\":{\"username\":\"")
      user = string(rest)
      agent = string(after(rest, "\"userAgent\":\""))
      object = after(rest, "\"objectRef\":{")
      object = substr(object, 1, index(object, "}"))
      key = "{" field("hour", substr(after(rest, "\"stageTimestamp\":\""), 1, 13)) "," field("user", user) "," \
        field("agent", agent) "," field("resource", string(after(object, "\"resource\":\""))) "," \
        field("group", string(after(object, "\"apiGroup\":\""))) "," \
        field("version", string(after(object, "\"apiVersion\":\""))) "}"
      if (key in counts || kinds++ < most) counts[key]++; else cut = 1
    }
    END { for (key in counts) print counts[key], key; if (cut) print "cut" }'
  exit 0
}
folders='' paths='' texts='' packages='' modules='' sysctls='' units='' etcd_uid=0
while IFS=' ' read -r kind value; do
  case $kind in
    folder) folders=$folders$value$newline ;;
    path) paths=$paths$value$newline ;;
    text) texts=$texts$value$newline ;;
    package) packages=$packages$value$newline ;;
    module) modules=$modules$value$newline ;;
    sysctl) sysctls=$sysctls$value$newline ;;
    unit) units=$units$value$newline ;;
    etcd-uid) etcd_uid=$value ;;
    file) exec cat "$value" ;;
    log) exec journalctl -q --no-pager -o cat -n "${value%% *}" -u "${value#* }" ;;
    audit) count_events "${value%% *}" "${value#* }" ;;
    end) break ;;
  esac
done
# From here on lists are split at their ends of lines, and nothing else is.
IFS=$newline
section() { printf '\036%s\n' "$1"; }
present() { for path in $1; do if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi; done; }
folders=$(present "$folders")
paths=$(present "$paths")
# walk EXPRESSION...: over all that is in the folders, and over the single paths.
# shellcheck disable=SC2086 # lists
walk() {
  [ -z "$folders" ] || find $folders "$@"
  [ -z "$paths" ] || find $paths -maxdepth 0 "$@"
} 2>/dev/null
# The nearest folder that exists.
place() { place=$1; while [ ! -d "$place" ]; do place=${place%/*}; place=${place:-/}; done; printf '%s\n' "$place"; }

section clock; date +%s.%N
section uname; uname -nrm
section os; cat /etc/os-release 2>/dev/null
section memory; while read -r line; do case $line in MemTotal:*) echo "$line" ;; esac; done </proc/meminfo
section cores; [ -r /sys/devices/system/cpu/online ] && read -r line </sys/devices/system/cpu/online && echo "$line"
section swap; tail -n +2 /proc/swaps 2>/dev/null
section cgroup; if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo 2; else echo 1; fi
section disks
# shellcheck disable=SC2046 # a list
df -P -B1 $(for path in / /var/lib/docker /var/lib/containerd /var/lib/etcd; do place "$path"; done) 2>/dev/null
section resolvers; cat /etc/resolv.conf 2>/dev/null
section upstream; cat /run/systemd/resolve/resolv.conf 2>/dev/null
section programs; for name in dockerd containerd; do command -v $name; done
section docker-socket; grep -cE ' 00010000 .* (/var)?/run/docker\.sock$' /proc/net/unix
section accounts; getent passwd etcd "$etcd_uid"
section packages
# shellcheck disable=SC2086 # a list
dpkg-query -W -f='${Package} ${Version} ${db:Status-Status}\n' $packages docker.io docker-ce containerd containerd.io 2>/dev/null
section modules
for module in $modules; do
  # A kernel that has everything built in lists nothing; its settings show what is there.
  if [ "$module" = br_netfilter ] && [ -d /proc/sys/net/bridge ]; then echo "$module"; continue; fi
  if [ -d "/sys/module/$module" ] || grep -qs "/$module\.ko" "/lib/modules/$(uname -r)/modules.builtin"; then echo "$module"; fi
done
section sysctls
# shellcheck disable=SC2086 # a list
[ -z "$sysctls" ] || sysctl -e $sysctls 2>/dev/null
section units
# shellcheck disable=SC2086 # a list
[ -z "$units" ] || systemctl show --property=Id,UnitFileState,ActiveState $units 2>/dev/null
section default-route; ip -4 route show default 2>/dev/null
section addresses; ip -o -4 address show 2>/dev/null
section links; ip -o link show 2>/dev/null
section routes; ip -4 route show 2>/dev/null
section listeners; ss -Hlntup 2>/dev/null | tr -d '\036'
section texts
for path in $texts; do
  [ ! -f "$path" ] || { wc -c "$path"; cat "$path"; echo; }
done
section swaps
find /var/lib/provision/swap -mindepth 1 -maxdepth 1 -type d ! -name '.*' 2>/dev/null | while IFS= read -r folder; do
  name=${folder##*/} word=interrupted reason=''
  if [ -f "$folder/result" ]; then
    { IFS= read -r word; IFS= read -r reason; } <"$folder/result"
  else
    case $(systemctl show -p ActiveState --value "provision-swap-replace-$name" "provision-swap-settle-$name" provision-settle) in
      *activ*ing* | *"$newline"active*) word=running ;;
    esac
  fi
  printf '%s %s %s\n' "$name" "$word" "$reason"
done
section images; [ ! -S /run/containerd/containerd.sock ] || ctr -n k8s.io images ls 2>/dev/null
section entries; walk -printf '%y %m %U %G\0%p\0%l\0'; echo
section digests
walk -type f '(' -size -2049 -o -path "*$newline*" ')' -print0 | xargs -0 -r sha256sum -z -- 2>/dev/null
# Files above 1 MiB: known ones are not read again.
[ -f "$digests" ] || digests=/dev/null
large=$(walk -type f -size +2048 ! -path "*$newline*" -printf '%s %T@ %C@ %i %p\n' | awk '
  !walked { digest[substr($0, 66)] = substr($0, 1, 64); next }
  { facts = $0; for (i = 0; i < 4; i++) sub(/^[^ ]* /, "") }
  facts in digest { print "known " digest[facts] "  " $0; next }
  { print "unknown " $0 }' "$digests" walked=1 -)
for line in $large; do case $line in known\ *) printf '%s\0' "${line#known }" ;; esac; done
for line in $large; do case $line in unknown\ *) printf '%s\0' "${line#unknown }" ;; esac; done | xargs -0 -r sha256sum -z -- 2>/dev/null
echo
section end
