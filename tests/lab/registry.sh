# shellcheck shell=bash
# The registry: a machine of the lab that runs Debian's docker-registry with TLS and credentials, a file server
# beside it, and ports that are wrong in one way each. What it holds is made once from the bundles.

REGISTRY_NAME=registry.lab
REGISTRY_USER=lab
REGISTRY_REPOSITORY=provision-lab/registry
REGISTRY_PACKAGES="docker-registry nginx libnginx-mod-http-perl apache2-utils tinyproxy skopeo curl"
REGISTRY=$TARGET/registry

# build_registry FOLDER DEBIAN PACKAGE...: rootfs.tar of a host's Debian with these packages.
build_registry() {
    local folder=$1 debian=$2 root=$1/root
    shift 2
    mkdir "$root"
    tar -C "$root" -xf "$PARTS/$debian/rootfs.tar"
    # Packages start nothing while they are installed.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp -L --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
    chroot "$root" apt-get update
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install --yes --no-install-recommends "$@" </dev/null
    chroot "$root" apt-get clean
    rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"
    tar -C "$root" --numeric-owner -cf "$folder/rootfs.tar" .
    rm -rf --one-file-system "$root"
}

need_registry_root() {
    local packages
    need_debian
    read -r -a packages <<<"$REGISTRY_PACKAGES"
    part registry build_registry "$PART" "${packages[@]}"
}

# index_items KIND INDEX: name, version and path of the items of that kind, one a line.
index_items() {
    sed -nE 's/.*"kind": "'"$1"'", "name": "([^"]*)", "version": "([^"]*)", "path": "([^"]*)".*/\1 \2 \3/p' "$2"
}

# push_index REGISTRY NAME TAG: puts an index of one platform over the image, as upstream's tags have it.
push_index() {
    local url=http://$1/v2/$2/manifests/$3 type=application/vnd.docker.distribution.manifest.v2+json size digest
    curl -sSf -H "Accept: $type" -o /tmp/manifest "$url"
    size=$(stat -c %s /tmp/manifest)
    digest=$(sha256sum /tmp/manifest | cut -d' ' -f1)
    printf '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":"%s","size":%s,"digest":"sha256:%s","platform":{"architecture":"amd64","os":"linux"}}]}' \
        "$type" "$size" "$digest" >/tmp/index
    curl -sSf -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.list.v2+json' --data-binary @/tmp/index "$url"
}

# fill_registry BUNDLE: runs in the registry's root, alone in its network. Names lose their registry's domain.
fill_registry() {
    local bundle=$1 registry=127.0.0.1:5000 name path server waited=0
    ip link set lo up
    printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: /srv/lab/registry}}\nhttp: {addr: "%s"}\n' \
        "$registry" >/tmp/fill.yml
    docker-registry serve /tmp/fill.yml &
    server=$!
    until curl -sf -o /dev/null "http://$registry/v2/"; do
        waited=$((waited + 1))
        [ "$waited" -lt 300 ]
        sleep 0.1
    done
    index_items image "$bundle/index.json" | while read -r name _ path; do
        skopeo --insecure-policy copy --quiet --dest-tls-verify=false "docker-archive:$bundle/$path" "docker://$registry/${name#*/}"
        # Upstream's are of several platforms; those of the other two registries here are plain.
        case $name in
        registry.k8s.io/*)
            name=${name#*/}
            push_index "$registry" "${name%:*}" "${name##*:}"
            ;;
        esac
    done
    kill "$server"
    wait "$server" || true
}

# serve_files FOLDER BUNDLE: the files under the paths and with the checksums of the official sites.
serve_files() {
    local folder=$1 bundle=$2 name version path file
    while read -r name version path; do
        case $name in
        cni-plugins) file=$folder/cni/$version/${path##*/} ;;
        *) file=$folder/kubernetes/$version/bin/linux/amd64/$name ;;
        esac
        mkdir -p "${file%/*}"
        ln "$bundle/$path" "$file"
        case $name in
        cni-plugins) (cd "${file%/*}" && sha256sum "${file##*/}") >"$file.sha256" ;;
        *) printf '%s' "$(digest_of "$file")" >"$file.sha256" ;;
        esac
    done < <(index_items file "$bundle/index.json")
}

# build_store FOLDER REGISTRY BUNDLE: a registry's disk with a bundle's images, and the tree of its files.
build_store() {
    local folder=$1 registry=$2 bundle=$3 root=$1/root
    mkdir "$root"
    tar -C "$root" -xf "$PARTS/$registry/rootfs.tar"
    cp -al "$PARTS/$bundle" "$root/srv/bundle"
    unshare --net --pid --fork --kill-child --root "$root" /bin/bash -euo pipefail -c "
        shopt -s inherit_errexit
        $(declare -f index_items push_index fill_registry)
        fill_registry /srv/bundle"
    mv "$root/srv/lab/registry" "$folder/registry"
    mkdir "$folder/files"
    serve_files "$folder/files" "$PARTS/$bundle"
    rm -rf --one-file-system "$root"
}

# need_store NAME: what the registry holds of a bundle.
need_store() {
    local bundle
    bundle_named "$1"; bundle=$PART
    need_registry_root
    part "registry-$1" build_store "$PART" "$bundle"
}

# registry_parts NAME...: the parts that a registry with these bundles is made of, one a line, its root first.
registry_parts() {
    local name
    need_registry_root; printf '%s\n' "$PART"
    for name in "$@"; do need_store "$name"; printf '%s\n' "$PART"; done
}

# registry_certificate FOLDER NAME START END: signed by the CA in FOLDER, valid between these two times.
registry_certificate() {
    local folder=$1 name=$2
    printf '%s\n' '[ca]' 'default_ca = lab' '[lab]' "database = $folder/issued" "new_certs_dir = $folder" 'default_md = sha256' \
        "serial = $folder/serial" 'policy = any' 'copy_extensions = copy' '[any]' 'commonName = supplied' >"$folder/ca.conf"
    : >"$folder/issued"
    openssl req -new -key "$folder/tls.key" -subj "/CN=$REGISTRY_NAME" -addext 'extendedKeyUsage = serverAuth' \
        -addext "subjectAltName = IP:$(address registry), DNS:$REGISTRY_NAME, IP:127.0.0.1" -out "$folder/$name.csr"
    openssl ca -batch -notext -rand_serial -config "$folder/ca.conf" -cert "$folder/ca.crt" -keyfile "$folder/ca.key" \
        -startdate "$3" -enddate "$4" -in "$folder/$name.csr" -out "$folder/$name.crt" 2>"$folder/ca.log" ||
        die "openssl signed no certificate: $(cat "$folder/ca.log")"
}

# registry_identity FOLDER: a CA, certificates of it and a password, made anew with every registry.
registry_identity() {
    local folder=$1 key
    for key in ca tls; do openssl ecparam -name prime256v1 -genkey -noout -out "$folder/$key.key"; done
    openssl req -x509 -new -key "$folder/ca.key" -subj "/CN=registry CA of lab $LAB_NAME" -days 3650 \
        -addext 'basicConstraints = critical,CA:TRUE' -addext 'keyUsage = critical,keyCertSign,cRLSign' -out "$folder/ca.crt"
    registry_certificate "$folder" tls "$(date -u -d yesterday +%Y%m%d%H%M%SZ)" "$(date -u -d '1 year' +%Y%m%d%H%M%SZ)"
    registry_certificate "$folder" expired "$(date -u -d '3 days ago' +%Y%m%d%H%M%SZ)" "$(date -u -d yesterday +%Y%m%d%H%M%SZ)"
    openssl rand -hex 16 | tr -d '\n' >"$folder/password"
    printf '%s' "$REGISTRY_USER" >"$folder/user"
}

# registry_settings CONTENT: what a cluster.yml needs to use it.
registry_settings() {
    local at
    at=$(address registry)
    cat <<TEXT
registry: $at:5000
user: $REGISTRY_USER
password_file: $REGISTRY/password
ca_file: $REGISTRY/ca.crt
kubernetes_base: https://$at:8443/kubernetes
cni_base: https://$at:8443/cni
proxy: http://$at:3128
content: $1
TEXT
}

# await_registry: until both of its servers answer.
await_registry() {
    local end=$((SECONDS + 60)) ask='curl -s -o /dev/null -w %{http_code} --cacert /etc/lab/ca.crt https://127.0.0.1'
    until [ "$(dk exec "$(container registry)" sh -c "$ask:5000/v2/; $ask:8443/" 2>/dev/null)" = 401403 ]; do
        if [ "$SECONDS" -ge "$end" ]; then
            die "the registry did not start within 60 s: $(dk exec "$(container registry)" journalctl -n 10 -u docker-registry -u nginx 2>&1)"
        fi
        sleep 0.1
    done
}

# into_registry FROM TO NAME...: puts these files and folders of FROM into TO of the registry's machine.
into_registry() {
    tar -C "$1" --owner=0 --group=0 --mode=u+rwX,go-w -c "${@:3}" | dk cp - "$(container registry):$2"
}

# registry_image CONTENT ROOT STORE...: an image of the root with these stores on its disk; sets REGISTRY_IMAGE.
registry_image() {
    local content=${1// /_} stores=("${@:3}") store tag old filling
    tag=$content-$(sha256sum <<<"${*:2}" | cut -c1-16)
    REGISTRY_IMAGE=$REGISTRY_REPOSITORY:$tag
    if dk image inspect "$REGISTRY_IMAGE" >/dev/null 2>&1; then return; fi
    need_room "$ENGINE_DATA" 2000 "a registry"
    PART=$2
    root_image "$REGISTRY_REPOSITORY-root"
    say "loading the registry's disk"
    filling=$(container registry-fill)
    dk rm -f -v "$filling" >/dev/null 2>&1 || true
    dk create --name "$filling" --label "provision-lab=$LAB_NAME" --network none "$ROOT_IMAGE" >/dev/null
    for store in "${stores[@]}"; do
        tar -C "$PARTS/$store" --transform 's|^\.|srv/lab|' -c . | dk cp - "$filling:/"
    done
    dk commit "$filling" "$REGISTRY_IMAGE" >/dev/null
    dk rm -f -v "$filling" >/dev/null
    for old in $(dk image ls --format '{{.Tag}}' "$REGISTRY_REPOSITORY"); do
        if [ "$old" != "$tag" ] && [ "${old%-*}" = "$content" ]; then dk image rm "$REGISTRY_REPOSITORY:$old" >/dev/null 2>&1 || true; fi
    done
}

# make_registry IMAGE KEY: a new machine; KEY tells what it is made of.
make_registry() {
    local image=$1 key=$2 work=$REGISTRY/.new
    mkdir -p "$REGISTRY"
    rm -rf "$work"
    (umask 077 && mkdir "$work" && registry_identity "$work")
    create_machine registry open --label "provision-lab-registry=$key" "$image"
    mkdir -p "$work/etc/lab"
    cp -p "$work"/{ca.crt,tls.crt,tls.key,expired.crt,user,password} "$work/etc/lab/"
    chmod 755 "$work/etc" "$work/etc/lab"
    into_registry "$work" / etc
    into_registry "$LAB_HOME/host" /usr/sbin lab-init lab-route
    into_registry "$LAB_HOME/registry" / etc usr
    dk start "$(container registry)" >/dev/null
    mv "$work/ca.crt" "$work/password" "$REGISTRY/"
    chmod 644 "$REGISTRY/ca.crt"
    rm -rf "$work"
}

remove_registry() {
    rm -rf "$REGISTRY"
    dk rm -f -v "$(container registry)" >/dev/null 2>&1 || true
}

# registry_label: what the registry that is there was made of.
registry_label() { dk container inspect -f '{{index .Config.Labels "provision-lab-registry"}}' "$(container registry)" 2>/dev/null || true; }

# registry_up NAME...: settings are written last, so a registry that has them is whole.
registry_up() {
    local text parts name key
    text=$(BUILD=no; registry_parts "$@") || {
        for name in "$@"; do command_bundle "$name" >/dev/null; done
        need_room "$CACHE" 2500 "filling a registry"
        text=$(with_lock build swept registry_parts "$@")
    }
    mapfile -t parts <<<"$text"
    mkdir -p "$TARGET"
    echo "$LAB_SUBNET" >"$TARGET/subnet"
    need_engine
    registry_image "$*" "${parts[@]}"
    need_key
    need_network
    key=$REGISTRY_IMAGE.$(source_key "$LAB_HOME/registry").$(source_key "$LAB_HOME/host")
    if [ -e "$REGISTRY/settings" ] && [ "$(registry_label)" = "$key" ]; then
        dk start "$(container registry)" >/dev/null
    else
        remove_registry
        make_registry "$REGISTRY_IMAGE" "$key"
    fi
    await_registry
    registry_settings "$*" >"$REGISTRY/.settings.new"
    mv "$REGISTRY/.settings.new" "$REGISTRY/settings"
}

registry_down() {
    need_engine
    remove_registry
}

# command_registry [up [VERSION...] | await | down]
command_registry() {
    local action=${1:-up} started=$SECONDS versions
    [ $# -eq 0 ] || shift
    need_machine
    case $action in
    up)
        need_packages openssl=openssl
        versions=("$@")
        if [ $# -eq 0 ]; then versions=("$(cluster_version)"); fi
        with_lock "lab-$LAB_NAME" registry_up "${versions[@]}" workload
        say "the registry is up after $((SECONDS - started)) s"
        cat "$REGISTRY/settings"
        ;;
    await)
        need_engine
        await_registry
        ;;
    down) with_lock "lab-$LAB_NAME" registry_down ;;
    *) die "registry $action is not understood: up, await or down" ;;
    esac
}
