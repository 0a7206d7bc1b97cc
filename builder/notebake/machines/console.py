"""Read a machine's console log: the certificate's fingerprint, the one-time token, the last lines.

The machine prints its lines among the kernel's and systemd's, with CRLF and colour codes in between, and
again at every boot: the last one counts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

TAIL_LINES = 20
_OVERLAP = 4096
_READ_BYTES = 8 * 1024 * 1024  # a console that loops on an error must not fill our memory

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_FINGERPRINT = re.compile(
    r"notebake: certificate SHA256 ((?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})(?![0-9A-Fa-f:])"
)
# With the end of the line: a token that is still being written would be cut short.
_TOKEN = re.compile(r"notebake: token ([0-9a-fA-F]{16,})[ \t]*\n")
_FAILED = re.compile(r"notebake: ((?:setup|certificate) failed[^\n]*)")


def clean(text: str) -> str:
    """Return `text` without terminal escapes and control characters, lines ended by a single newline."""
    plain = _ESCAPE.sub("", text).replace("\r", "\n")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", plain)


def fingerprint(text: str) -> str | None:
    """Return the certificate's SHA-256 as `AB:CD:...` in capitals, or None while none was printed."""
    found = _FINGERPRINT.findall(clean(text))
    return found[-1].upper() if found else None


def token(text: str) -> str | None:
    """Return the one-time login token in lower-case hex, or None: then the machine has a password."""
    found = _TOKEN.findall(clean(text))
    return found[-1].lower() if found else None


def failure(text: str) -> str | None:
    """Return the last line that reports a failed step, or None. The machine retries by itself."""
    found = _FAILED.findall(clean(text))
    return found[-1].rstrip() if found else None


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines that are not blank."""
    kept = [line.rstrip() for line in clean(text).splitlines() if line.strip()]
    return "\n".join(kept[-lines:])


def unseen(known: str, text: str) -> str:
    """Return the part of `text` that comes after `known`, all of it if `known` is not in it."""
    at = text.rfind(known) if known else -1
    return text if at < 0 else text[at + len(known) :]


def append(path: Path, text: str) -> None:
    """Append what the log does not have yet of `text`, the end of the console's output."""
    new = unseen(read(path)[-_OVERLAP:], text)
    if new:
        with open(path, "ab", opener=_private) as file:
            file.write(new.encode())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read(path: Path) -> str:
    """Return the log's text, at most its last 8 MiB; empty while there is no log yet."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _READ_BYTES))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
