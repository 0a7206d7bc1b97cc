"""Check that code in a notebook cannot become root: by sudo, or over ssh with a key that it adds itself."""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

# Leaves the home as it was. Prints who it became, if anyone.
_SCRIPT = """
sudo -n id -un && exit
command -v ssh-keygen >/dev/null || exit 0
keys=$HOME/.ssh/authorized_keys made=$(mktemp -d)
ssh-keygen -q -t ed25519 -N '' -f "$made/key" || exit 0
[ -e "$keys" ] && cp -p "$keys" "$made/before"
mkdir -p -m 700 "$HOME/.ssh"
cat "$made/key.pub" >>"$keys"
ssh -F none -i "$made/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
  -o ConnectTimeout=10 127.0.0.1 'sudo -n id -un || echo a log-in over ssh'
if [ -e "$made/before" ]; then mv "$made/before" "$keys"; else rm "$keys"; fi
rmdir "$HOME/.ssh" 2>/dev/null
rm -r "$made"
"""
_FACTS = (
    "(lambda p: p.run(['sh', '-c', {script!r}], stdin=p.DEVNULL, stdout=p.PIPE, stderr=p.DEVNULL, text=True,"
    " timeout=60).stdout if __import__('os').name == 'posix' else '')(__import__('subprocess'))"
)


def run(context: Context) -> str:
    """Return what was tried. Raises CheckFailed when code became root or logged in, NotReady."""
    became = ask(context, _FACTS.format(script=_SCRIPT)).strip()
    if became:
        raise CheckFailed(
            f"code in a notebook gets more rights: {became}",
            "on the machine: /etc/ssh/sshd_config.d/10-notebake.conf must deny the notebook's user",
        )
    return "no sudo, no log-in over ssh"
