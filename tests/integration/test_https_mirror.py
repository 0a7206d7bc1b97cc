"""The root filesystem of a base, made from an https mirror whose certificate only the spec knows."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.certificates import issue
from tests.loopback import Quiet, serving

from notebake import process
from notebake.bases import base
from notebake.errors import CommandFailed
from notebake.plan import plan, spec, targets
from notebake.plan.plan import Plan
from notebake.plan.targets import Mmdebstrap
from notebake.progress import Steps

TARGET = targets.get("debian-13")


def upstream(path: str) -> str:
    """Return the URL of a file on Debian's own servers."""
    archive = f"{TARGET.apt and TARGET.apt.archive}"
    return f"{archive.removesuffix('/debian')}{path}"


class Forward(Quiet, BaseHTTPRequestHandler):
    """Answer with the files of Debian's own servers."""

    def do_GET(self) -> None:
        try:
            with urllib.request.urlopen(upstream(self.path), timeout=60) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The address of the mirror; its certificate is mirror.pem in tmp_path."""
    pair = issue("127.0.0.1", names=("127.0.0.1",), now=datetime.now(UTC))
    (tmp_path / "server.pem").write_bytes(pair.key_pem + pair.pem)
    (tmp_path / "mirror.pem").write_bytes(pair.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with serving(Forward, context) as address:
        yield address


def made_with(text: str, folder: Path) -> Plan:
    """Return a plan of the target with few packages."""
    assert isinstance(TARGET.base, Mmdebstrap)
    small = TARGET.base.model_copy(update={"packages": ("ca-certificates", "python3-minimal")})
    target = TARGET.model_copy(update={"base": small})
    return plan.make(spec.parse(text, source="x"), target, folder, now=datetime.now(UTC))


def test_its_own_certificate_is_trusted_while_the_base_is_made_and_not_left_there(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = f'[mirrors]\napt = "{mirror}/debian"\napt_security = "{mirror}/debian-security"\n'
    log = tmp_path / "log"
    with pytest.raises(CommandFailed, match="certificate"):
        base.root(made_with(table, tmp_path), Steps(), log)
    trusted = made_with(f'{table}ca_certificates = ["mirror.pem"]\n', tmp_path)
    root = base.root(trusted, Steps(), log)
    names = process.run(["tar", "--zstd", "-tf", root], timeout=60).stdout.decode().splitlines()
    assert "./usr/bin/apt-get" in names
    assert "./etc/apt/apt.conf.d/99mmdebstrap" not in names
