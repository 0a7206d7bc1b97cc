"""A machine whose only way out is a proxy: it sets itself up, has updates, and its kernels use the proxy."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tenacity
from tests.e2e.conftest import HASH, context_of, printed
from tests.e2e.families import failing_launch, launch_one, root_shell, stopped_afterwards
from tests.e2e.shapes.package_server import ADDRESS, PackageServer

from notebake import launch, process
from notebake.plan import mirrors, plan, spec, targets
from notebake.plan.plan import Plan
from notebake.probe.report import Report
from notebake.progress import Steps

FETCH = """\
import os, urllib.request
with urllib.request.urlopen("http://deb.debian.org/debian/dists/trixie/InRelease", timeout=60) as answer:
    print(answer.status, os.environ["HTTPS_PROXY"])
"""


@pytest.fixture
def proxy(package_server: PackageServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a tinyproxy on the address that a closed network reaches; its log is in tmp_path.

    Parameter: further lines of its settings.
    """
    with socket.create_server((ADDRESS, 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "tinyproxy.conf"
    settings.write_text(
        f'Port {port}\nListen {ADDRESS}\nLogFile "{tmp_path}/proxy.log"\nLogLevel Connect\nTimeout 60\n'
        + getattr(request, "param", "")
    )
    child = process.spawn(["tinyproxy", "-d", "-c", settings], log=tmp_path / "tinyproxy.out")

    @tenacity.retry(wait=tenacity.wait_fixed(0.1), stop=tenacity.stop_after_delay(10), reraise=True)
    def answers() -> None:
        socket.create_connection((ADDRESS, port), timeout=1).close()

    answers()
    yield f"http://{ADDRESS}:{port}"
    process.kill_session(child)


def behind(proxy: str, folder: Path, more: str) -> Plan:
    """A plan with the host's index and certificates, the release's own archive, and the proxy."""
    host = mirrors.resolve("host", folder)
    (folder / "host-ca.pem").write_text("".join(host.ca_certificates))
    text = f'[mirrors]\napt = "http://deb.debian.org/debian"\npython = "{host.python}"\n'
    text += f'proxy = "{proxy}"\n{more}\n'
    text += 'ca_certificates = ["host-ca.pem"]\n' if host.ca_certificates else ""
    text += f'[notebook]\npassword = "{HASH}"\n'
    return plan.make(spec.parse(text, source="x"), targets.get("debian-13"), folder, now=datetime.now(UTC))


@pytest.mark.usefixtures("incus")
def test_a_machine_behind_a_proxy_alone_comes_up(
    proxy: str, look: Callable[..., Report], steps: Steps, tmp_path: Path
) -> None:
    made = behind(proxy, tmp_path, "proxy_for_users = true")
    machine = launch_one(launch.from_plan(made, "incus", tmp_path, steps), steps)
    with stopped_afterwards(machine):
        report = look(machine, "login", "plot", "cloud_init", "updates", offline=False)
        assert report.passed, report.to_json()
        context = context_of(machine.name)
        assert printed(context, FETCH) == f"200 {proxy}"
        context.leave()
        # Nothing else leads out.
        assert root_shell(machine, "getent hosts deb.debian.org || echo none") == "none\n"
    log = (tmp_path / "proxy.log").read_text()
    assert "deb.debian.org" in log


@pytest.mark.usefixtures("incus")
@pytest.mark.parametrize("proxy", ['Filter "/dev/null"\nFilterDefaultDeny Yes\n'], indirect=True)
def test_a_proxy_that_refuses_is_named(proxy: str, steps: Steps, tmp_path: Path) -> None:
    source = launch.from_plan(behind(proxy, tmp_path, ""), "incus", tmp_path, steps)
    reason = failing_launch(source, steps, name="refused")
    words = f"setup failed at environment: http.*/uv/: .*403 Filtered.*, through the proxy {proxy}"
    assert re.search(words, reason), reason
