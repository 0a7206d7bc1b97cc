#!/bin/sh
# The machine says what is in it, while its package databases are still whole.
set -eu

python3 /tmp/report.py >/tmp/software.json
rm /tmp/report.py
chmod 0644 /tmp/software.json # Packer fetches it as the build user
