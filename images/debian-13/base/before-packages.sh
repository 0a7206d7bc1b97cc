#!/bin/sh
# Runs when only the essential packages are installed; $1 is the root file system being made.
# Package scripts read these settings, so they are written first.
set -eu

root=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# Set the modes here: a checkout or a wheel does not keep them.
cd "$here/files"
find . -type f | LC_ALL=C sort | while read -r file; do
  install -D -m 0644 "$file" "$root/$file"
done
# initramfs-tools runs only hooks that are executable.
chmod 0755 "$root"/etc/initramfs-tools/hooks/*
