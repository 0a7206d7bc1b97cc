#!/bin/sh
# Runs when only the essential packages are installed; $1 is the root file system being made.
set -eu

# A test machine needs no manuals: they would double the time of unpacking.
cat >"$1/etc/dpkg/dpkg.cfg.d/lean" <<'END'
path-exclude=/usr/share/man/*
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
END
