#!/bin/sh
# Install the Debian packages that notebake drives; asks apt only when one is missing.
#
# Two come from another suite of the same mirror. On Debian 12 QEMU comes from bookworm-backports: without
# KVM, QEMU before 8.1 gets cmpxchg16b wrong, so Debian 13's kernel panics with it, and NumPy (x86-64-v2)
# refuses a processor without it. Debian 13 has no Packer: it comes from bookworm.
set -eu

packages='xorriso mmdebstrap e2fsprogs fdisk grub-common grub-pc-bin zstd systemd-container iproute2
  nftables openssh-client chromium debian-archive-keyring cloud-init gpgv'
emulator='qemu-system-x86 qemu-utils'

sudo=
if [ "$(id -u)" -ne 0 ]; then
  sudo=sudo
fi
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

# Prints those of its arguments that are not installed.
missing() {
  for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed'; then
      printf '%s ' "$package"
    fi
  done
}

install() {
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# Makes apt know a suite of the mirror that the release itself comes from; nothing is upgraded to it.
add_suite() {
  if apt-cache policy | grep -q "n=$1"; then
    return
  fi
  # shellcheck disable=SC2016 # apt's own variables
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CREATED_BY)' |
    sed -n "s|^\(\S*\) $codename Packages\$|\1|p" | head -n 1)
  printf 'deb %s %s main\n' "$mirror" "$1" |
    $sudo tee "/etc/apt/sources.list.d/notebake-$1.list" >/dev/null
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$1" |
    $sudo tee "/etc/apt/preferences.d/notebake-$1" >/dev/null
}

# shellcheck disable=SC2086 # one word a package
packages=$(missing $packages) emulator_missing=$(missing $emulator)
version=$(dpkg-query -W -f '${Version}' qemu-system-x86 2>/dev/null || true)
emulator_suite=$codename packer_suite=$codename packer=
if ! command -v packer >/dev/null; then
  packer=packer
fi
if [ "$codename" = bookworm ] && dpkg --compare-versions "${version:-0}" lt 1:8.1; then
  emulator_suite=bookworm-backports emulator_missing=$emulator
fi
if [ "$codename" != bookworm ]; then
  packer_suite=bookworm
fi
if [ -z "$packages$emulator_missing$packer" ]; then
  exit 0
fi

if [ -n "$emulator_missing" ] && [ "$emulator_suite" != "$codename" ]; then
  add_suite "$emulator_suite"
fi
if [ -n "$packer" ] && [ "$packer_suite" != "$codename" ]; then
  add_suite "$packer_suite"
fi
$sudo apt-get update -q
# shellcheck disable=SC2086 # one word a package
if [ -n "$emulator_missing" ]; then
  install --target-release "$emulator_suite" $emulator_missing
fi
if [ -n "$packer" ]; then
  install --target-release "$packer_suite" packer
fi
# shellcheck disable=SC2086 # one word a package
if [ -n "$packages" ]; then
  install $packages
fi
