# shellcheck shell=sh
# Says at log-in what an update waits for.
cat /run/notebake/notice 2>/dev/null || true
