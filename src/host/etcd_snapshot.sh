# Snapshots of etcd: part of the door's script where one of them is asked for. Their programs run in containers of the
# member's own image, which has no shell. The first values are always the snapshot's name and the image.
snapshots=/var/lib/provision/snapshots
canary_key=/provision/canary

# begin: reads the first values. What helps with the work is gone at the end, however that comes; what a killed one has
# left goes at the beginning.
begin() {
  IFS= read -r name; IFS= read -r image
  command -v docker >/dev/null || fail "the program docker is not there: install its package (docker-cli)"
  # shellcheck disable=SC2154 # the door has read it
  database=$snapshots/$name.db helper=provision-$request work=$snapshots/.$request
  mkdir -p "$snapshots"
  end
  trap end EXIT
  trap 'exit 1' INT TERM
  mkdir "$work"
}
end() { docker rm -f "$helper" >/dev/null 2>&1 || :; rm -rf "$work"; }

# helper OPTION... IMAGE ARGUMENT...: a container without any right that it does not need.
helper() {
  timeout -k 5 3000 docker run --pull never --name "$helper" --read-only --cap-drop ALL --security-opt no-new-privileges "$@" </dev/null
}
# once: one that runs to its end.
once() { helper --rm "$@"; }

# attempt WHAT COMMAND...: a failure in few words; etcd's programs write much more.
attempt() {
  what=$1; shift
  "$@" 2>"$work/log" && return
  said=$(grep '^Error: ' "$work/log" | tail -n 1)
  [ -n "$said" ] || said=$(tail -n 1 "$work/log")
  case $said in
    *'expected sha256'*) said="the hash that etcd has put at its end does not fit its bytes" ;;
    *'missing hash'*) said="the hash that etcd puts at its end is missing" ;;
  esac
  fail "$what: $(printf %s "${said#Error: }" | cut -c 1-400)"
}

# room FOLDER BYTES
room() {
  free=$(df -P -B1 "$1" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$2" ] || fail "$1 has $free bytes left, and $2 are needed"
}
# Two segments of a write-ahead log, which are reserved at their full size, and something to spare.
spare=$((192 << 20))

# etcd_version: of the image.
etcd_version() { once --network none --entrypoint /usr/local/bin/etcdutl "$image" version | awk '$1 == "etcdutl" { print $3 }'; }

# check_bytes: reads size and digest, and requires them of the file.
check_bytes() {
  IFS= read -r size; IFS= read -r digest
  [ -f "$database" ] || fail "$database is not there"
  seen=$(wc -c <"$database")
  [ "$seen" -eq "$size" ] || fail "$database is damaged: it has $seen bytes instead of $size"
  seen=$(sha256sum <"$database")
  seen=${seen%% *}
  [ "$seen" = "$digest" ] || fail "$database is damaged: its digest is $seen instead of $digest"
}

# publish FILE PATH: a finished file gets its name.
publish() {
  chown 0:0 "$1"; chmod 0600 "$1"
  sync "$1"
  mv -fT "$1" "$2"
  sync "$snapshots"
}

# save_snapshot: name, image, owner, the canary's value. What etcd tells stands in `NAME.facts` then.
save_snapshot() {
  begin
  IFS= read -r owner; IFS= read -r canary
  [ ! -e "$database" ] || fail "$database is there already"
  # What interrupted ones have left; a day is more than any takes.
  find "$snapshots" -maxdepth 1 -name '*.facts' -mmin +1440 | while IFS= read -r left; do
    [ -e "${left%.facts}.json" ] || rm -f "${left%.facts}.db"
    rm -f "$left"
  done
  data=/var/lib/etcd
  forget_given_up
  room "$snapshots" $(($(wc -c </var/lib/etcd/member/snap/db) * 2 + spare))
  mkdir "$work/out"; chown "$owner" "$work/out"
  attempt "writing the canary key to etcd" client --command-timeout=30s put -w json "$canary_key" "$canary" >"$work/put"
  attempt "taking the snapshot from etcd" client snapshot save /snapshot/db >/dev/null
  attempt "reading the snapshot" once --network none --user "$owner" -v "$work/out:/snapshot" \
    --entrypoint /usr/local/bin/etcdutl "$image" snapshot status /snapshot/db -w json >"$work/status"
  version=$(attempt "asking for etcdutl's version" etcd_version)
  seen=$(sha256sum <"$work/out/db")
  {
    printf 'put %s\n' "$(cat "$work/put")"
    printf 'status %s\n' "$(cat "$work/status")"
    printf 'version %s\n' "$version"
    printf 'size %s\n' "$(wc -c <"$work/out/db")"
    printf 'sha256 %s\n' "${seen%% *}"
  } >"$work/facts"
  publish "$work/facts" "$snapshots/$name.facts"
  publish "$work/out/db" "$database"
  remember "${seen%% *}" "$database"
}
# client: etcdctl towards the host's own member.
client() {
  once --network host --user "$owner" -v /etc/kubernetes/etcd:/etc/kubernetes/etcd:ro -v "$work/out:/snapshot" \
    --entrypoint /usr/local/bin/etcdctl "$image" --endpoints=https://127.0.0.1:2379 \
    --cacert=/etc/kubernetes/etcd/ca.crt --cert=/etc/kubernetes/etcd/peer.crt --key=/etc/kubernetes/etcd/peer.key "$@"
}

# verify_snapshot: name, image, size, digest, version of etcd, revision, hash, the canary's value. The scratch etcd has no
# network but its own loopback, so no port of the host is in its way and nobody else reaches it.
verify_snapshot() {
  begin
  check_bytes
  IFS= read -r version; IFS= read -r revision; IFS= read -r hash; IFS= read -r canary
  require_minor "$version"
  room "$snapshots" $((size * 2 + spare))
  mkdir "$work/scratch"
  attempt "$database is damaged" once --network none -v "$database:/snapshot.db:ro" -v "$work/scratch:/scratch" \
    --entrypoint /usr/local/bin/etcdutl "$image" snapshot restore /snapshot.db --data-dir=/scratch/data >/dev/null
  attempt "reading $database" once --network none -v "$database:/snapshot.db:ro" \
    --entrypoint /usr/local/bin/etcdutl "$image" snapshot status /snapshot.db -w json >"$work/status"
  for pair in "hash:$hash" "revision:$revision"; do
    seen=$(sed -n "s/.*\"${pair%%:*}\":\([0-9]*\).*/\1/p" "$work/status")
    [ "$seen" = "${pair#*:}" ] || fail "$database is damaged: its ${pair%%:*} is $seen instead of ${pair#*:}"
  done
  scratch_etcd
  seen=$(timeout 30 docker exec "$helper" /usr/local/bin/etcdctl get --print-value-only "$canary_key" </dev/null)
  [ "$seen" = "$canary" ] || fail "$database is not what it says: its canary key holds \`$seen\` instead of \`$canary\`"
}
require_minor() {
  mine=$(attempt "asking for etcdutl's version" etcd_version)
  older=$(printf '%s\n' "${mine%.*}" "${1%.*}" | sort -V | head -n 1)
  [ "$older" = "${1%.*}" ] || fail "$database was made by etcd $1, which is newer than the $mine of this host"
}
scratch_etcd() {
  attempt "starting a scratch etcd" helper -d --network none -v "$work/scratch:/scratch" --entrypoint /usr/local/bin/etcd "$image" \
    --data-dir=/scratch/data --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --unsafe-no-fsync >/dev/null
  tries=0
  until timeout 30 docker exec "$helper" /usr/local/bin/etcdctl endpoint health >/dev/null 2>&1 </dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -ge 120 ] || [ "$(docker inspect -f '{{.State.Running}}' "$helper")" != true ]; then
      fail "a scratch etcd with what is in $database does not start: $(docker logs --tail 1 "$helper" 2>&1 | cut -c 1-400)"
    fi
    sleep 0.5
  done
}

# data_is_idle: nothing but the stopped `etcd` can come at etcd's data, now or at the next boot. A replacement that has not
# ended may serve it by another name, and is ended at the next boot; where neither of both works it has nothing to end.
data_is_idle() {
  # shellcheck disable=SC2154 # the door has it
  for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    [ -e "$swaps/$component/intent" ] || continue
    case $(head -n 1 "$swaps/$component/result" 2>/dev/null) in
      neither) rm -f "$swaps/$component/intent"; sync "$swaps/$component"; rm -rf "${swaps:?}/$component" ;;
      *) fail "etcd's data is left alone: the replacement of $component has not ended (systemctl start provision-settle)" ;;
    esac
  done
  users=$(docker ps --filter volume=/var/lib/etcd --format '{{.Names}}' | tr '\n' ' ')
  [ -z "$users" ] || fail "etcd's data is left alone: it is used by ${users% }"
}

# restore_folders: reads the stamp. The new data lies in `restored-STAMP`, whole and synced once it has that name, and the old
# one in `before-restore-STAMP`, whose being there says that the data is about to be moved, or has been. All of it is in
# etcd's folder, which may be a disk of its own.
restore_folders() {
  IFS= read -r stamp
  case $stamp in */* | .*) fail "no stamp: $stamp" ;; esac
  data=/var/lib/etcd new=/var/lib/etcd/restored-$stamp old=/var/lib/etcd/before-restore-$stamp
}
# forget_given_up: what restores have prepared that were never begun. By its name it is whole, so that loses its name first.
forget_given_up() {
  for left in "$data"/restored-*; do
    [ -d "$left" ] || continue
    whole=${left%.part}
    if [ -d "$data/before-restore-${whole#"$data"/restored-}" ]; then continue; fi
    if [ "$left" = "$whole" ]; then
      rm -rf "$whole.part"
      mv -T "$whole" "$whole.part"
      sync "$data"
    fi
    rm -rf "$whole.part"
  done
}

# prepare_restore: stamp, name, image, size, digest, owner, member, its peer URL, all members, token. The member may run.
# Kubernetes' caches must never see revisions again: they are raised, and what lies before is marked as compacted.
# What is left on the disk must do for a member that runs, too.
prepare_restore() {
  restore_folders
  begin
  check_bytes
  IFS= read -r owner; IFS= read -r member; IFS= read -r peer; IFS= read -r cluster; IFS= read -r token
  # A restore that is gone on with.
  if [ -d "$new" ] || [ -d "$old" ]; then return; fi
  forget_given_up
  room "$data" $((size + 2 * spare))
  mkdir "$new.part"
  trap 'rm -rf "$new.part"; end' EXIT
  attempt "restoring $database" once --network none -v "$database:/snapshot.db:ro" -v "$new.part:/new" \
    --entrypoint /usr/local/bin/etcdutl "$image" snapshot restore /snapshot.db --data-dir=/new/data \
    --bump-revision=1000000000 --mark-compacted "--name=$member" "--initial-advertise-peer-urls=$peer" \
    "--initial-cluster=$cluster" "--initial-cluster-token=$token" >/dev/null
  chown -R "$owner" "$new.part"
  sync -f "$new.part"
  mv -T "$new.part" "$new"
  sync "$data"
}

# restore_snapshot: stamp, owner. Only two renames are left.
restore_snapshot() {
  restore_folders
  IFS= read -r owner
  data_is_idle
  if [ ! -d "$old" ]; then
    [ -d "$new/data/member" ] || fail "etcd's data is left alone: nothing was prepared for it in $new"
    mkdir "$old"; chown "$owner" "$old"
    sync "$data"
  fi
  if [ -d "$new/data/member" ]; then
    if [ -d "$data/member" ]; then mv -T "$data/member" "$old/member"; fi
    sync "$old" "$data"
    mv -T "$new/data/member" "$data/member"
    sync "$data"
  fi
  rm -rf "$data"/restored-*
}

# discard_restore: stamp.
discard_restore() {
  restore_folders
  if [ -d "$old" ]; then fail "etcd's data is moved already: $old is there"; fi
  forget_given_up
  sync "$data"
}
