#!/bin/sh
# Runs after all packages are installed; $1 is the root file system being made.
# Removes what machines must not share, and what only slows down the first boot.
set -eu

root=$1

# cloud-init makes the host keys and systemd the machine id, on each machine.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/var/lib/systemd/random-seed"
install -m 0644 /dev/null "$root/etc/fstab"

ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

# By path, not with systemctl: it might talk to the host's systemd.
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

# It lets a shutdown wait for an upgrade: apt-daily-upgrade.service starts it, not each boot.
disable unattended-upgrades.service
# These check LVM volumes that do not exist, while cloud-init works.
disable e2scrub_all.timer
disable e2scrub_reap.service

# A server does not need these, and each one costs a process or a mount at every boot.
mask sys-kernel-debug.mount
mask sys-kernel-tracing.mount
mask systemd-binfmt.service
mask proc-sys-fs-binfmt_misc.automount
mask systemd-pstore.service
# Without vsock it fails and prints errors on the console.
mkdir -p "$root/etc/systemd/system-generators"
ln -s /dev/null "$root/etc/systemd/system-generators/systemd-ssh-generator"
ln -s /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"

# The package scripts did this already: without these files the first boot would rebuild the linker's
# cache, the users and the journal's catalog.
for tree in etc var; do
  printf 'TIMESTAMP_NSEC=%s000000000\n' "${SOURCE_DATE_EPOCH:-$(date +%s)}" >"$root/$tree/.updated"
done

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
find "$root/var/log" -type f -delete

# The essential packages were installed before dpkg.cfg.d/lean, which excludes these files.
find "$root/usr/share/man" "$root/usr/share/info" -type f -delete
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
find "$root/usr/share/doc" \( -type f -o -type l \) ! -name copyright -delete

# With SOURCE_DATE_EPOCH Python wrote bytecode that is verified by hashing the source at every import:
# seconds of every boot. Timestamps are what Debian uses.
env -u SOURCE_DATE_EPOCH chroot "$root" python3 -m compileall -q -f -j 0 \
  --invalidation-mode timestamp /usr/lib/python3 /usr/lib/python3.* || true
