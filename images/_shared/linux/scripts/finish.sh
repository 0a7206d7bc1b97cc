#!/bin/sh
# Shutdown command: one root shell, because it deletes the build user that Packer's sudo depends on.
set -eu

# sudo-rs keeps the build user's PATH, which has no sbin.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

cd /
rm -f /etc/sudoers.d/90-cloud-init-users
userdel -f -r notebake-build 2>/dev/null || true
# What they were before: with the build user.
rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-
rm -rf /home/notebake-build /var/mail/notebake-build /tmp/* /tmp/.[!.]*

journalctl --relinquish-var 2>/dev/null || true
find /var/log -type f -delete
rm -rf /var/log/journal/*
sync
for folder in / /boot; do
  ! mountpoint -q $folder || python3 /run/notebake-seal/zero.py $folder
done
sync
fstrim -a || true
# -f: do not stop the services, because they would write logs again. File systems are unmounted.
systemctl poweroff -f
