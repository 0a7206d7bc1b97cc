#!/bin/sh
# Remove everything that clones must not share: keys, names, logs, histories, caches.
set -eu

# sudo-rs keeps the build user's PATH, which has no sbin.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

mkdir -p /run/notebake-seal
mv /tmp/finish.sh /run/notebake-seal/

if command -v apt-get >/dev/null; then
  apt-get clean
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old
fi
if command -v zypper >/dev/null; then
  zypper --non-interactive clean --all
fi

# Where the host set up the disk, cloud-init did not run yet.
if [ -e /etc/cloud/cloud-init.disabled ]; then
  rm /etc/cloud/cloud-init.disabled /etc/systemd/network/10-notebake-build.network
else
  # Not every cloud-init has all flags.
  flags=--logs
  help=$(cloud-init clean --help)
  for flag in --seed "--configs all"; do
    if echo "$help" | grep -q -- "${flag%% *}"; then
      flags="$flags $flag"
    fi
  done
  # shellcheck disable=SC2086 # one word per flag
  cloud-init clean $flags
fi

rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -rf /var/lib/notebake/* /opt/notebake/cache /opt/notebake/uv.whl /run/notebake
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -sf /etc/machine-id /var/lib/dbus/machine-id 2>/dev/null || true
rm -rf /root/.cache /root/.ssh /root/.*_history /root/.python_history /home/*/.cache /home/*/.*_history
rm -rf /var/lib/dhcp/* /var/lib/NetworkManager/*.lease /var/lib/systemd/network/* /var/tmp/*
