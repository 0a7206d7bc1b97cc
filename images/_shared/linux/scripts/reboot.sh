#!/bin/sh
# Reboot if an upgrade brought a kernel, so that the old one can be removed.
set -eu

# sudo-rs keeps the build user's PATH, which has no sbin.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

newest=$(find /lib/modules/ -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)
[ "$newest" != "$(uname -r)" ] || exit 0
echo "notebake: reboot into kernel $newest"
# The machine that is baked must not become a notebook machine, nor upgrade by itself.
systemctl unmask --quiet --runtime apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || true
systemctl list-unit-files --no-legend --state=enabled 'notebake-*' 'apt-daily*' |
  cut -d ' ' -f 1 >/var/tmp/notebake-units
xargs -r systemctl disable --quiet </var/tmp/notebake-units
sync
systemctl reboot
sleep 300 # until the machine ends the connection
