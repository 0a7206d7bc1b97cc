#!/bin/sh
# Print what an update waits for, a reboot or a restart of the server, and keep it for log-ins; else nothing.
# Nobody restarts the server by itself: every kernel would end.
set -eu

note=/run/notebake/notice
reason=
# Files that the server or a kernel has open in memory, and that an update has replaced.
old=$(grep -ls notebake-notebook.service /proc/[0-9]*/cgroup | sed 's/cgroup$/maps/' |
  xargs -r sed -n 's/.* \(\/usr\/.*\) (deleted)$/\1/p' 2>/dev/null | head -n 1)
if [ -e /run/reboot-required ] || [ -e /run/reboot-needed ]; then
  reason="reboot this machine"
elif [ -n "$old" ]; then
  reason="restart notebake-notebook.service, which still uses the old ${old##*/}"
fi
rm -f $note
[ -z "$reason" ] || echo "notebake: restart needed: $reason" | tee $note
# matplotlib never looks again at what it has listed: it does for fonts that came later, at the next start of a kernel.
for list in /opt/notebake/matplotlib/fontlist*; do
  if [ -n "$(find /usr/share/fonts -newer "$list" -print -quit 2>/dev/null)" ]; then rm -f "$list"; fi
done
