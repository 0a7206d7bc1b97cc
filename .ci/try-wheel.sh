#!/usr/bin/env bash
# Install a wheel into an empty environment, away from the checkout, and render every target: try-wheel.sh UV WHEEL
set -euo pipefail
uv=$(realpath "$1")
wheel=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset PYTHONPATH VIRTUAL_ENV

"$uv" venv --quiet --no-config env
"$uv" pip install --quiet --no-config --python env/bin/python "$wheel"
env/bin/notebake init --no-password
targets=$(env/bin/notebake targets --json | env/bin/python -c 'import json, sys; print(*(row["name"] for row in json.load(sys.stdin)))')
for target in $targets; do
  env/bin/notebake render "$target" -o "rendered/$target"
done
