#!/bin/sh
# Make the machine under Packer a notebook machine: the same guest that user-data delivers.
set -eu

guest=/opt/notebake/guest
cloud-init status --wait >/dev/null || [ $? -eq 2 ] # 2: done, with warnings
rm -rf "$guest"
mkdir -p "$guest"
tar -xzf /tmp/guest.tar.gz -C "$guest" --no-same-owner
rm /tmp/guest.tar.gz
if [ -n "${NOTEBAKE_SERVE_WHEELS:-}" ]; then
  NOTEBAKE_WHEELHOUSE=http://$PACKER_HTTP_ADDR
  export NOTEBAKE_WHEELHOUSE
fi
python3 "$guest/setup.py" --bake
