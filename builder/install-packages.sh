#!/bin/sh
# Install the Debian packages that notebake drives; asks apt only when one is missing.
#
# On Debian 12 QEMU comes from bookworm-backports: without KVM, QEMU before 8.1 gets cmpxchg16b wrong,
# so Debian 13's kernel panics with it, and NumPy (x86-64-v2) refuses a processor without it.
set -eu

packages='packer xorriso mmdebstrap e2fsprogs fdisk grub-common grub-pc-bin zstd systemd-container iproute2
  nftables openssh-client chromium debian-archive-keyring cloud-init'
emulator='qemu-system-x86 qemu-utils'

sudo=
if [ "$(id -u)" -ne 0 ]; then
  sudo=sudo
fi

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

# shellcheck disable=SC2086 # one word a package
packages=$(missing $packages) emulator_missing=$(missing $emulator)
version=$(dpkg-query -W -f '${Version}' qemu-system-x86 2>/dev/null || true)
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
backports=
if [ "$codename" = bookworm ] && dpkg --compare-versions "${version:-0}" lt 1:8.1; then
  backports=bookworm-backports emulator_missing=$emulator
fi
if [ -z "$packages$emulator_missing" ]; then
  exit 0
fi

if [ -n "$backports" ] && ! apt-cache policy | grep -q "n=$backports"; then
  # From the mirror that the release itself comes from.
  # shellcheck disable=SC2016 # apt's own variables
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CREATED_BY)' |
    sed -n "s|^\(\S*\) $codename Packages\$|\1|p" | head -n 1)
  printf 'deb %s %s main\n' "$mirror" "$backports" |
    $sudo tee /etc/apt/sources.list.d/notebake-backports.list >/dev/null
fi
$sudo apt-get update -q
# shellcheck disable=SC2086 # one word a package
if [ -n "$emulator_missing" ]; then
  install ${backports:+--target-release "$backports"} $emulator_missing
fi
# shellcheck disable=SC2086 # one word a package
if [ -n "$packages" ]; then
  install $packages
fi
