"""Errors shown to the user, one class per exit code.

Library code raises these and never prints; only `notebake.cli` catches them.
Exit codes: 2 invalid spec or argument, 3 missing tool, 4 failed command, 5 machine not ready in time,
6 failed check, 7 invalid record, 130 stopped by Ctrl-C.
"""

from __future__ import annotations


class NotebakeError(Exception):
    """An error for the user: a message, a hint that says what to type next, and an exit code."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(NotebakeError):
    """The spec, the lock, a target's data or an argument is invalid."""

    exit_code = 2


class MissingTool(NotebakeError):
    """A required program is not installed, or this user may not run it."""

    exit_code = 3


class CommandFailed(NotebakeError):
    """A program failed, or something it needs (mirror, disk) is not available."""

    exit_code = 4


class NotReady(NotebakeError):
    """A machine did not answer before its timeout."""

    exit_code = 5


class CheckFailed(NotebakeError):
    """A check of the probe failed, or an image has known vulnerabilities above the allowed severity."""

    exit_code = 6


class RecordError(NotebakeError):
    """A record cannot be read or does not match its image."""

    exit_code = 7
