#!/bin/sh
# Runs when only the essential packages are there; $1 is the root being made.
set -eu

# A test machine needs no manuals: half of the time that unpacking takes.
cat >"$1/etc/dpkg/dpkg.cfg.d/lean" <<'END'
path-exclude=/usr/share/man/*
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
END
