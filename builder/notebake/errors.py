"""Every mistake a person can make or meet, each a class with its own exit code.

Library code raises these and never prints; `notebake.cli` is the one place that catches them.
Exit codes: 2 the spec or an argument, 3 a missing tool, 4 a failed command, 5 a machine not ready
in time, 6 a failed check, 7 a record that could not be written, 130 stopped by Ctrl-C.
"""

from __future__ import annotations


class NotebakeError(Exception):
    """A user error: one message, one hint that says what to do next, one exit code."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(NotebakeError):
    """The spec, the lock, a target's data or an argument is wrong."""

    exit_code = 2


class MissingTool(NotebakeError):
    """A program this step needs is not installed, or this user may not use it."""

    exit_code = 3


class CommandFailed(NotebakeError):
    """A program ran and failed, or something it needed (mirror, disk) was not there."""

    exit_code = 4


class NotReady(NotebakeError):
    """A machine did not answer within its time limit."""

    exit_code = 5


class CheckFailed(NotebakeError):
    """A probe's check failed."""

    exit_code = 6


class RecordError(NotebakeError):
    """A record could not be written or does not match its image."""

    exit_code = 7
