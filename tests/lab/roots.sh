# shellcheck shell=bash
# Root file systems made of Debian packages: the hosts', and the small one under images that need more
# than their one program.

# As bare as a cloud image: what Kubernetes needs beyond this is for the tool to bring.
HOST_PACKAGES=systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,iproute2,procps,kmod,sudo,ca-certificates

# debian_sources: the lines of this machine's apt sources that are Debian's own for our suite. On
# another distribution there are none, and debootstrap's built-in mirror serves.
debian_sources() {
    # The fields are apt's to fill in.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        awk -v suite="$DEBIAN" '$2 ~ "^" suite "(-updates|-security)?$" {print "deb " $1 " " $2 " main"}' | sort -u
}

# apt_settings: how this machine reaches its mirror (proxies, checks of dates), for the hosts to do the same.
apt_settings() {
    apt-config dump | grep -E '^Acquire::(https?::(Proxy|Verify|CaInfo)|Check-)' || true
    if [ -n "${http_proxy:-}" ]; then printf 'Acquire::http::Proxy "%s";\n' "$http_proxy"; fi
    if [ -n "${https_proxy:-}" ]; then printf 'Acquire::https::Proxy "%s";\n' "$https_proxy"; fi
}

# reach_mirror ROOT SOURCES SETTINGS: lets apt in ROOT do what it can do on this machine.
reach_mirror() {
    local root=$1
    if [ -n "$2" ]; then printf '%s\n' "$2" >"$root/etc/apt/sources.list"; fi
    if [ -n "$3" ]; then printf '%s\n' "$3" >"$root/etc/apt/apt.conf.d/90lab-mirror"; fi
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
        chroot "$root" update-ca-certificates
    fi
}

# build_debian FOLDER SUITE PACKAGES SOURCES SETTINGS: rootfs.tar of a machine just installed, and its etc
# for those who ask apt for more packages of the same kind.
build_debian() {
    local folder=$1 suite=$2 wanted=$3 sources=$4 settings=$5 root=$1/root mirror unit
    mirror=$(awk -v suite="$suite" '$3 == suite {print $2; exit}' <<<"$sources")
    debootstrap --variant=minbase --include="$wanted" "$suite" "$root" ${mirror:+"$mirror"}
    reach_mirror "$root" "$sources" "$settings"
    chroot "$root" useradd --create-home --shell /bin/bash ops
    echo 'ops ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/ops"
    chmod 440 "$root/etc/sudoers.d/ops"
    # Docker's runc will land beside the shim, whoever installs it.
    chroot "$root" dpkg-divert --local --rename --add --divert /usr/sbin/runc.real /usr/sbin/runc
    # No terminals here; and apt's own timers would take its lock at a time of their choosing.
    for unit in getty@tty1.service console-getty.service apt-daily.timer apt-daily-upgrade.timer; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    chroot "$root" apt-get clean
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/etc/ssh/ssh_host_*
    : >"$root/etc/machine-id"
    tar -C "$root" --numeric-owner -cf "$folder/rootfs.tar" .
    mv "$root/etc" "$folder/etc"
    rm -rf --one-file-system "$root"
}

# build_host FOLDER DEBIAN SHIM KEY: rootfs.tar of a lab host. KEY is a hash of the files in host/.
build_host() {
    local folder=$1 debian=$2 shim=$3 top=$1/top
    install -D -m 755 "$PARTS/$shim/bin/shim" "$top/usr/sbin/runc"
    install -m 755 "$LAB_HOME"/host/* "$top/usr/sbin/"
    cp "$PARTS/$debian/rootfs.tar" "$folder/rootfs.tar"
    (cd "$top" && tar --owner=0 --group=0 -rf "$folder/rootfs.tar" ./usr/sbin/*)
    rm -rf "$top"
}

# packages_into WORK ROOT APT_ETC NAME...: unpacks packages and all that they depend on into ROOT, without
# their scripts. APT_ETC is the etc of a host's root: its sources and keys are used, not this machine's.
packages_into() {
    local work=$1 root=$2 etc=$3 package apt
    shift 3
    mkdir -p "$work"/apt/{lists/partial,archives/partial} "$root"
    : >"$work/apt/status"
    apt=(-o "Dir::Etc=$etc/apt" -o "Dir::State=$work/apt" -o "Dir::State::lists=$work/apt/lists"
        -o "Dir::State::status=$work/apt/status" -o "Dir::Cache=$work/apt" -o "Dir::Cache::archives=$work/apt/archives"
        -o Acquire::Languages=none -o APT::Sandbox::User=root -o APT::Install-Recommends=false
        -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success=)
    apt-get "${apt[@]}" update
    apt-get "${apt[@]}" install --download-only --yes "$@"
    for package in "$work"/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -C "$root" -x --keep-directory-symlink
    done
    rm -rf "$work/apt"
}

# small_root ROOT: the links of a merged /usr, and the folders that packages expect.
small_root() {
    local name
    mkdir -p "$1"/usr/{bin,sbin,lib,lib64} "$1"/{etc,proc,sys,dev,run,tmp,root,var/run,var/lib}
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
    chmod 1777 "$1/tmp"
}

# slim ROOT: takes out what no program in an image reads.
slim() {
    local root=$1
    rm -rf "$root"/usr/share/{doc,man,locale,info,lintian,bug,bash-completion,perl5,debconf,menu,initramfs-tools,gdb} \
        "$root"/usr/lib/x86_64-linux-gnu/{perl-base,gconv,perl,perl5} "$root"/usr/bin/{perl*,dpkg*,deb*} \
        "$root"/var/lib/{dpkg,apt} "$root"/var/cache "$root"/etc/{init.d,cron*,logrotate.d,pam.d,apt,default} \
        "$root"/lib/{systemd,udev,init} "$root"/usr/share/{pam*,common-licenses,zsh,vim,nano,base-passwd,dict} \
        "$root"/usr/lib/x86_64-linux-gnu/{libdb*,libapt*,libperl*,security} "$root"/usr/share/keyrings
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
}

# build_busybox FOLDER ETC: a shell and cp for images that are otherwise one program.
build_busybox() {
    local folder=$1 etc=$PARTS/$2/etc tool
    mkdir -p "$folder/root/bin"
    packages_into "$folder/work" "$folder/unpacked" "$etc" busybox-static
    cp "$folder/unpacked/bin/busybox" "$folder/root/bin/"
    for tool in sh cp mv ls cat mkdir rm ln chmod sleep test echo; do ln -s busybox "$folder/root/bin/$tool"; done
    rm -rf "$folder/work" "$folder/unpacked"
}

# build_net_base FOLDER ETC: what kube-proxy and flannel call, besides a shell.
build_net_base() {
    local folder=$1 etc=$PARTS/$2/etc root=$1/root name
    small_root "$root"
    packages_into "$folder/work" "$root" "$etc" iptables ipset conntrack kmod iproute2 netbase dash coreutils
    rm -rf "$folder/work"
    slim "$root"
    # What the package's scripts would have chosen.
    for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        ln -sf xtables-nft-multi "$root/usr/sbin/$name"
    done
    ln -sf dash "$root/usr/bin/sh"
    chroot "$root" /sbin/iptables --version
    chroot "$root" /sbin/ip -V
}

# build_haproxy FOLDER ETC: HAProxy and its libraries, where upstream's image has it.
build_haproxy() {
    local folder=$1 etc=$PARTS/$2/etc root=$1/root
    small_root "$root"
    packages_into "$folder/work" "$root" "$etc" haproxy dash
    rm -rf "$folder/work"
    slim "$root"
    ln -sf dash "$root/usr/bin/sh"
    mkdir -p "$root/usr/local/sbin" "$root/usr/local/bin" "$root/usr/local/etc/haproxy" "$root/var/lib/haproxy"
    mv "$root/usr/sbin/haproxy" "$root/usr/local/sbin/haproxy"
    echo 'haproxy:x:99:99:haproxy:/var/lib/haproxy:/usr/sbin/nologin' >>"$root/etc/passwd"
    echo 'haproxy:x:99:' >>"$root/etc/group"
    # The script's own variables.
    # shellcheck disable=SC2016
    printf '#!/bin/sh\n# Flags alone mean the program itself, as in the official image.\ncase ${1:-} in -*) set -- haproxy "$@" ;; esac\nexec "$@"\n' \
        >"$root/usr/local/bin/docker-entrypoint.sh"
    chmod 755 "$root/usr/local/bin/docker-entrypoint.sh"
    chroot "$root" /usr/local/sbin/haproxy -v
}

need_debian() {
    # Asking apt takes longer than all the rest of a call that builds nothing.
    if [ -z "${APT_SOURCES+known}" ]; then
        APT_SOURCES=$(debian_sources)
        APT_SETTINGS=$(apt_settings)
    fi
    part debian build_debian "$DEBIAN" "$HOST_PACKAGES" "$APT_SOURCES" "$APT_SETTINGS"
}
need_host() {
    local debian
    need_debian; debian=$PART
    need_shim
    part host build_host "$debian" "$PART" "$(source_key "$LAB_HOME/host")"
}
need_busybox() { need_debian; part busybox build_busybox "$PART"; }
need_net_base() { need_debian; part net-base build_net_base "$PART"; }
need_haproxy() { need_debian; part haproxy build_haproxy "$PART"; }
