#!/bin/sh
# The same machine by a plain Packer shell script: apt, venv, pip. bench/bakes.py uses it instead of
# scripts/install.sh; the rest of the template is the same.
set -eu

guest=/opt/notebake/guest
bundle=/opt/notebake/ca.pem
cloud-init status --wait >/dev/null || [ $? -eq 2 ] # 2: done, with warnings
mkdir -p "$guest"
tar -xzf /tmp/guest.tar.gz -C "$guest" --no-same-owner
rm /tmp/guest.tar.gz

value='import json, sys; print(json.load(open(sys.argv[1]))["index"])'
index=$(python3 -c "$value" "$guest/config.json")

# pip and apt use the same mirrors and certificates as notebake's set-up.
cat /etc/ssl/certs/ca-certificates.crt >"$bundle"
if [ -f "$guest/ca.pem" ]; then
  cat "$guest/ca.pem" >>"$bundle"
fi

# Without recommended packages: pip's are a compiler and headers, which notebake does not install either.
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o "Acquire::https::CAInfo=$bundle" update
apt-get -qy -o "Acquire::https::CAInfo=$bundle" --no-install-recommends dist-upgrade
rm "$guest/upgrade.sh" # that would be ours
apt-get -qy -o "Acquire::https::CAInfo=$bundle" --no-install-recommends install python3-venv python3-pip

# Under the name that set-up expects: it finds a complete environment and continues with configuration,
# units, firewall and user, so that both machines are the same.
env=/opt/notebake/env-$(sha256sum "$guest/requirements.txt" | cut -c1-12)
python3 -m venv "$env"
"$env/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --cert "$bundle" \
  --index-url "$index" --require-hashes -r "$guest/requirements.txt"
: >"$env/complete"
python3 "$guest/setup.py" --bake

# Set-up must have used this environment. If it made its own, the benchmark would measure both.
[ "$(readlink -f /opt/notebake/env)" = "$env" ]
[ -x "$env/bin/pip" ]
