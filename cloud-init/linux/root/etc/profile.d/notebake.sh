# shellcheck shell=sh
# Says at log-in what an update waits for.
cat /run/notebake/notice 2>/dev/null || true
# The user's own packages, then the notebook's.
if [ -d "$HOME/.venv/bin" ]; then PATH="$HOME/.venv/bin:/opt/notebake/env/bin:$PATH"; fi
