#!/bin/sh
# Set up the machine under Packer with the same provisioning files that user-data delivers.
set -eu

# sudo-rs keeps the build user's PATH, which has no sbin.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

guest=/opt/notebake/guest
# Until the next boot: upgrades would hold the package manager's lock and change the image.
systemctl mask --quiet --runtime --now apt-daily.timer apt-daily-upgrade.timer apt-daily.service \
  apt-daily-upgrade.service unattended-upgrades.service packagekit.service 2>/dev/null || true
# The host set this disk up with these very files, before it booted (disk.sh).
if [ -e /var/tmp/notebake-complete ]; then
  tar -xzOf /tmp/guest.tar.gz digest | cmp -s - /var/tmp/notebake-complete || {
    echo "the disk was set up with other provisioning files" >&2
    exit 1
  }
  systemctl is-system-running --wait >/dev/null || true # wait for the end of the boot
  failed=$(systemctl list-units --failed --plain --no-legend nftables.service 'notebake-*')
  [ -z "$failed" ] || {
    echo "failed in the machine that is baked: $failed" >&2
    exit 1
  }
  # As after set-up: all is enabled, but nothing runs.
  systemctl stop 'notebake-*'
  mv /var/tmp/notebake-complete "$guest/complete"
  exit 0
fi
code=0
cloud-init status --wait >/dev/null || code=$?
if [ "$code" -ne 0 ]; then
  cloud-init status --long || true # it exits with the same code
  # 2: done, with warnings
  [ "$code" -eq 2 ] || {
    echo "cloud-init failed in the machine that is baked" >&2
    exit "$code"
  }
fi
rm -rf "$guest"
mkdir -p "$guest"
tar -xzf /tmp/guest.tar.gz -C "$guest" --no-same-owner
rm /tmp/guest.tar.gz
if [ -n "${NOTEBAKE_WHEELS:-}" ]; then
  NOTEBAKE_WHEELHOUSE=http://$PACKER_HTTP_ADDR
  export NOTEBAKE_WHEELHOUSE
fi
# The host upgraded this disk just now, before it booted.
[ ! -e /var/tmp/notebake-after ] || rm "$guest/upgrade.sh"
python3 "$guest/setup.py" --bake
rm -f "$guest/upgrade.sh" # no machine has it, unless its user-data says so
