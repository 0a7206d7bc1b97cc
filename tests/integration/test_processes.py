"""Processes known by their pid: what counts as ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from notebake.errors import SpecError
from notebake.machines import pids, ports

_FIRST_THREAD_ENDS = """
import ctypes, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_lives_and_holds_its_port_until_its_last_thread_ends() -> None:
    """As a killed QEMU does: its first thread is a zombie already while another one still runs."""
    command = [sys.executable, "-c", _FIRST_THREAD_ENDS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as program:
        try:
            assert program.stdout is not None
            port = int(program.stdout.readline())
            process = pids.identify(program.pid)
            assert process is not None
            first_thread = Path(f"/proc/{program.pid}/stat")
            deadline = time.monotonic() + 10
            while first_thread.read_text().rpartition(")")[2].split()[0] != "Z":
                assert time.monotonic() < deadline
            assert process.alive()
            with pytest.raises(SpecError, match="already used"):
                ports.check(port)
            assert process.kill()
            ports.check(port)
        finally:
            program.kill()
