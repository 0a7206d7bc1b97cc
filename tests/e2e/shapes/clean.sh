#!/bin/sh
# Removes from the root file system $1 what machines must not share, and all Debian package sources.
set -eu

root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" \
  "$root/var/lib/systemd/random-seed" "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
: >"$root/etc/machine-id"
install -m 0644 /dev/null "$root/etc/fstab"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
find "$root/var/log" -type f -delete
