# Tells what is on a host. Reads only. Standard input: lines `<kind> <value>`; output: sections that begin with
# \036<name> on a line of their own.
set -u
LC_ALL=C
export LC_ALL PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
folders='' paths='' texts='' packages='' modules='' sysctls='' units='' etcd_uid=0
newline='
'
while read -r kind value; do
  case $kind in
    folder) folders=$folders$value$newline ;;
    path) paths=$paths$value$newline ;;
    text) texts=$texts$value$newline ;;
    package) packages="$packages $value" ;;
    module) modules="$modules $value" ;;
    sysctl) sysctls="$sysctls $value" ;;
    unit) units="$units $value" ;;
    etcd-uid) etcd_uid=$value ;;
    end) break ;;
  esac
done
section() { printf '\036%s\n' "$1"; }
existing() { printf %s "$1" | while IFS= read -r path; do if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\0' "$path"; fi; done; }

section clock; date +%s.%N
section hostname; uname -n
section kernel; uname -r
section architecture; uname -m
section os; cat /etc/os-release 2>/dev/null
section memory; sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo
section swap; tail -n +2 /proc/swaps 2>/dev/null
section cgroup; if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo 2; else echo 1; fi
section disks
for path in / /var/lib/docker /var/lib/containerd /var/lib/etcd; do
  place=$path
  while [ ! -d "$place" ]; do place=${place%/*}; place=${place:-/}; done
  df -P -B1 "$place" | awk -v path="$path" 'NR == 2 { print path, $4, $2 }'
done
section resolvers; sed -n 's/^nameserver[[:space:]]*//p' /etc/resolv.conf 2>/dev/null
section upstream; sed -n 's/^nameserver[[:space:]]*//p' /run/systemd/resolve/resolv.conf 2>/dev/null
section containerd; command -v containerd >/dev/null && containerd --version | awk '{ print $3 }'
section docker; command -v dockerd >/dev/null && dockerd --version | sed -n 's/^Docker version \([^,]*\),.*/\1/p'
section etcd-user; getent passwd etcd | awk -F: '{ print $3, $4 }'
section etcd-uid-holder; getent passwd "$etcd_uid" | cut -d: -f1
section packages
# shellcheck disable=SC2086 # package names are words
[ -z "$packages" ] || dpkg-query -W -f='${Package} ${Version} ${db:Status-Status}\n' $packages 2>/dev/null
section modules
for module in $modules; do
  if [ -d "/sys/module/$module" ] || grep -qs "/$module\.ko" "/lib/modules/$(uname -r)/modules.builtin"; then echo "$module"; fi
done
section sysctls
for name in $sysctls; do
  file=/proc/sys/$(printf %s "$name" | tr . /)
  [ ! -r "$file" ] || printf '%s %s\n' "$name" "$(cat "$file")"
done
section units
for unit in $units; do
  systemctl show --property=Id,UnitFileState,ActiveState,LoadState "$unit" 2>/dev/null | tr '\n' ' '
  echo
done
section listeners; ss -Hlntup 2>/dev/null | awk '{ print $1, $5, $7 }'
section texts
printf %s "$texts" | while IFS= read -r path; do
  [ ! -f "$path" ] || { printf '%s %s\n' "$(wc -c <"$path")" "$path"; cat "$path"; echo; }
done
section images; [ ! -S /run/containerd/containerd.sock ] || ctr -n k8s.io images ls 2>/dev/null | awk 'NR > 1 { print $1, $3 }'
section entries
{
  existing "$folders" | xargs -0 -r sh -c 'find "$@" -printf "%y\t%m\t%U\t%G\t%l\t%p\0"' find
  existing "$paths" | xargs -0 -r sh -c 'find "$@" -maxdepth 0 -printf "%y\t%m\t%U\t%G\t%l\t%p\0"' find
} 2>/dev/null
printf '\n'
section digests
{
  existing "$folders" | xargs -0 -r sh -c 'find "$@" -type f -print0' find
  existing "$paths" | xargs -0 -r sh -c 'find "$@" -maxdepth 0 -type f -print0' find
} 2>/dev/null | xargs -0 -r sha256sum -z --
printf '\n'
section end
