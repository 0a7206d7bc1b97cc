#!/bin/sh
# Runs when only the essential packages are there; $1 is the root being made.
# Settings that package scripts read must be in place before those packages come.
set -eu

root=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# Modes are set here because a checkout or a wheel does not keep them.
cd "$here/files"
find . -type f | LC_ALL=C sort | while read -r file; do
  install -D -m 0644 "$file" "$root/$file"
done
# initramfs-tools runs only hooks that are executable.
chmod 0755 "$root"/etc/initramfs-tools/hooks/*
