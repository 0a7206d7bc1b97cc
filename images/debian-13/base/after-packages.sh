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
enable() {
  mkdir -p "$root/etc/systemd/system/$2.wants"
  ln -sf "/usr/lib/systemd/system/$1" "$root/etc/systemd/system/$2.wants/$1"
}

enable systemd-networkd.service multi-user.target
enable systemd-networkd-wait-online.service network-online.target
enable systemd-resolved.service sysinit.target

# These hold the dpkg lock, or scrub volumes that are not there, while cloud-init works.
disable apt-daily.timer
disable apt-daily-upgrade.timer
disable e2scrub_all.timer
disable e2scrub_reap.service

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
find "$root/var/log" -type f -delete
