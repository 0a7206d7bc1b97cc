#!/bin/sh
# Write the software inventory, before sealing removes package databases.
set -eu

# sudo-rs keeps the build user's PATH, which has no sbin.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

python3 /tmp/report.py >/tmp/software.json
rm /tmp/report.py
chmod 0644 /tmp/software.json # Packer fetches it as the build user
