#!/bin/sh
# Runs when all packages are there; $1 is the root being made.
# It takes away what no two machines may share and what only costs time at a first boot.
set -eu

root=$1

# cloud-init makes the host keys, systemd the machine id: one for each machine.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/var/lib/systemd/random-seed"
install -m 0644 /dev/null "$root/etc/fstab"

ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

# By path, not by systemctl in the root: the host's own systemd must not be asked.
disable() {
  find "$root/etc/systemd/system" -name "$1" -type l -delete
}
mask() {
  disable "$1"
  ln -s /dev/null "$root/etc/systemd/system/$1"
}
switch_on() {
  mkdir -p "$root/etc/systemd/system/$2.wants"
  ln -sf "/usr/lib/systemd/system/$1" "$root/etc/systemd/system/$2.wants/$1"
}

switch_on systemd-networkd.service multi-user.target
switch_on systemd-networkd-wait-online.service network-online.target
switch_on systemd-resolved.service sysinit.target

# These hold the dpkg lock, or scrub volumes that are not there, while cloud-init works.
disable apt-daily.timer
disable apt-daily-upgrade.timer
disable e2scrub_all.timer
disable e2scrub_reap.service

# Nothing on a server reads these, and each is a process or a mount of every boot.
mask sys-kernel-debug.mount
mask sys-kernel-tracing.mount
mask systemd-binfmt.service
mask proc-sys-fs-binfmt_misc.automount
mask systemd-pstore.service
# It fails, loudly on the console, where there is no vsock.
mkdir -p "$root/etc/systemd/system-generators"
ln -s /dev/null "$root/etc/systemd/system-generators/systemd-ssh-generator"
ln -s /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"

# The package scripts did all of it already: without these marks the first boot would rebuild the
# linker's cache, the users and the journal's catalog once more.
for tree in etc var; do
  printf 'TIMESTAMP_NSEC=%s000000000\n' "${SOURCE_DATE_EPOCH:-$(date +%s)}" >"$root/$tree/.updated"
done

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
find "$root/var/log" -type f -delete

# The essential packages came before the rule that leaves these out (dpkg.cfg.d/lean).
find "$root/usr/share/man" "$root/usr/share/info" -type f -delete
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
find "$root/usr/share/doc" \( -type f -o -type l \) ! -name copyright -delete

# A fixed clock made Python choose bytecode that is checked by reading and hashing its source at
# every import: seconds of every boot. This is the kind every Debian machine has.
env -u SOURCE_DATE_EPOCH chroot "$root" python3 -m compileall -q -f -j 0 \
  --invalidation-mode timestamp /usr/lib/python3 /usr/lib/python3.* || true
