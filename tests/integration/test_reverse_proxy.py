"""Servers behind a reverse proxy (mitmproxy) that publishes them under a path and asks with another Host."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uv
from tests.integration.jupyter_servers import JupyterServers, certificate, wait_until

from notebake import process
from notebake.address import Address
from notebake.plan import plan, spec, targets
from notebake.probe import browser, connection
from notebake.probe import run as probe_run
from notebake.probe.subject import Subject
from notebake.progress import Steps
from notebake.provision import files

# In an environment of its own: it needs an older cryptography than this project.
MITMPROXY = ("tool", "run", "--quiet", "--from", "mitmproxy==11.0.2", "mitmdump")
Publish = Callable[..., AbstractContextManager[Subject]]
CHECKS = ("login_refused", "login", "plot", "profile")


@contextmanager
def proxy(upstream: Address, listen: Address, folder: Path, *options: str) -> Iterator[str]:
    """Run a proxy for all of a server's paths in the block; yield the fingerprint of its certificate."""
    fingerprint = certificate(folder)
    pem = folder / "proxy.pem"
    pem.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    child = process.spawn(
        [uv.find_uv_bin(), *MITMPROXY, "--mode", f"reverse:https://{upstream}", "--ssl-insecure",
         "--listen-host", listen.host, "--listen-port", str(listen.port), "--certs", pem,
         "--set", f"confdir={folder}", *options],
        log=folder / "proxy.log",
    )  # fmt: skip

    def answers() -> bool:
        try:
            connection.shake_hands(listen, seconds=20)
        except Exception:
            return False
        return True

    try:
        wait_until(answers, f"no proxy: {folder / 'proxy.log'}", 300)
        yield fingerprint
    finally:
        process.kill_session(child)


@pytest.fixture
def published(jupyter: JupyterServers, tmp_path: Path) -> Publish:
    """Return a function: a server with this table `notebook` of a spec, as a proxy publishes it at /lab/."""

    @contextmanager
    def publish(name: str, table: str, *options: str, port: int = 0) -> Iterator[Subject]:
        # An address of this test's own: also its port 443 is free.
        with socket.create_server(("127.0.9.43", port)) as free:
            outside = Address(host="127.0.9.43", port=free.getsockname()[1], path="/lab")
        text = f"[notebook]\n{table.format(origin=f'https://{outside.authority}')}\n"
        made = plan.make(
            spec.parse(text, source="x"), targets.get("debian-13"), tmp_path, now=datetime.now(UTC)
        )
        subject = jupyter.start(name, spec={"server": files.config(made).get("server", {})})
        path = made.spec.notebook.base_url.removesuffix("/")
        jupyter.ready(replace(subject, address=replace(subject.address, path=path)))
        with proxy(subject.address, outside, tmp_path, *options) as fingerprint:
            yield replace(subject, address=outside, fingerprint=fingerprint)

    return publish


def failures(subject: Subject) -> dict[str, str]:
    """Return what fails, by the check's name."""
    report = probe_run.run(subject, started=datetime.now(UTC), checks=CHECKS, steps=Steps())
    return {each.name: each.detail for each in report.results if each.status == "failed"}


def test_a_server_with_both_settings_works_for_the_probe_and_in_a_browser(
    published: Publish, tmp_path: Path
) -> None:
    with published("both", 'base_url = "/lab/"\norigin = "{origin}"') as subject:
        assert failures(subject) == {}
        results = browser.visit(subject, screenshots=tmp_path / "shots", timeout_s=300, steps=Steps())
        assert {each.status for each in results} == {"passed"}, results


def test_a_proxy_that_keeps_host_needs_no_origin(published: Publish) -> None:
    # Browsers leave this port out of Host and Origin; only root may listen on it.
    port = 443 if os.geteuid() == 0 else 0
    with published("kept", 'base_url = "/lab/"', "--set", "keep_host_header=true", port=port) as subject:
        assert failures(subject) == {}


@pytest.mark.parametrize(
    ("table", "check", "says"),
    [('base_url = "/lab/"', "plot", "403"), ('origin = "{origin}"', "login", "302, no login form")],
    ids=["origin", "base_url"],
)
def test_without_one_of_the_settings_it_does_not(
    table: str, check: str, says: str, published: Publish
) -> None:
    with published(f"without-{check}", table) as subject:
        assert says in failures(subject)[check]
