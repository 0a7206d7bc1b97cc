"""Run `packer build` through python-packer, and add what its release 0.1.2 lacks.

python-packer cannot be imported on Windows, so only `bake` imports this module.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from notebake import process, scratch
from notebake.bake import packer_plugins
from notebake.errors import CommandFailed

with warnings.catch_warnings():
    # python-packer's own sh 1.11 has string escapes that Python warns of since 3.12.
    warnings.simplefilter("ignore")
    import packer
    import sh

_CANCEL_SECONDS = 60


class _Lines:
    """Where sh writes Packer's output: a log file, and each complete line to a callback."""

    def __init__(self, log: Path, line: Callable[[str], None]) -> None:
        self._file = open(log, "ab", buffering=0)  # noqa: SIM115 (closed by close)
        self._line = line
        self._rest = b""

    def write(self, chunk: bytes) -> int:
        self._file.write(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(re.sub(r"^(==> | {4})[\w.-]+: ", "", line.decode("utf-8", "replace").rstrip()))
        return len(chunk)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class _Packer(packer.Packer):  # type: ignore[misc]
    """python-packer with a writable sink, a small environment, and a template in any folder."""

    def __init__(
        self,
        folder: Path,
        sink: _Lines,
        variables: dict[str, str],
        var_file: Path,
        temporary: str,
        plugins: Path | None,
    ) -> None:
        template = next(folder.glob("*.pkr.hcl"))
        super().__init__(
            str(template),
            vars=variables,
            var_file=str(var_file),
            exec_path=str(process.which("packer")),
        )
        # Packer reads all *.pkr.hcl of a folder; python-packer only takes a file, so the file is the
        # anchor for its check and the folder is what Packer gets.
        self.packerfile = str(folder)
        self.packer: Any = self.packer.bake(

            _out=sink, _err_to_out=True, _out_bufsize=0, _tty_out=False, _bg=True,
            _env=process.environment(packer_plugins.settings(plugins) | process.owned() | {
                "PACKER_CACHE_DIR": str(folder / "packer_cache"), "TMPDIR": temporary,
            }),
        )  # fmt: skip


def build(
    folder: Path,
    *,
    variables: dict[str, str],
    var_file: Path,
    log: Path,
    line: Callable[[str], None],
    plugins: Path | None = None,
) -> None:
    """Run `packer build` on the template in `folder`, with the plugins in `plugins`; None: with Packer's own.

    The output goes to `log`, each line also to `line`. Raises CommandFailed. Ctrl-C cancels Packer, which
    stops its machine and removes its output, before KeyboardInterrupt is raised.
    """
    sink = _Lines(log, line)
    # Packer's plugins listen on sockets in TMPDIR, whose paths may have 107 bytes: not in `folder`.
    with contextlib.ExitStack() as stack:
        stack.callback(sink.close)
        short = stack.enter_context(scratch.folder(scratch.short(), "nb"))
        # parallel=True would become `-parallel=true`, which Packer refuses.
        made = _Packer(folder, sink, variables, var_file, str(short), plugins)
        running = made.build(parallel=False)
        try:
            running.wait()
        except sh.ErrorReturnCode as error:
            raise CommandFailed(f"packer: exit code {error.exit_code}") from None
        except BaseException:
            # The whole group, as a terminal would do it: Packer is two processes, and the outer one
            # leaves SIGINT to the inner one. sh gives each program a session, led by its pid.
            os.killpg(running.process.pid, signal.SIGINT)
            limit = threading.Timer(_CANCEL_SECONDS, process.kill_session, (running.process.pid,))
            limit.start()
            try:
                running.process.wait()
            finally:
                limit.cancel()
            raise


def validate(
    folder: Path,
    *,
    variables: dict[str, str],
    var_file: Path,
    plugins: Path | None = None,
) -> None:
    """Run `packer validate`. Raises CommandFailed with Packer's message, which python-packer would hide."""
    argv: list[str | Path] = ["packer", "validate", f"-var-file={var_file}"]
    argv += [f"-var={name}={value}" for name, value in variables.items()]
    process.run([*argv, folder], timeout=120, env=packer_plugins.settings(plugins))
