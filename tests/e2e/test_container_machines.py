"""Debian 13 in containers of Incus: user-data only and golden image are the same."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tenacity
from tests import scanners
from tests.certificates import corporate, rsa_key
from tests.e2e import families
from tests.incus import Incus
from tests.rendering import user_data

from notebake import process
from notebake.address import Address
from notebake.machines import console, lifecycle, wait
from notebake.machines.machine import Machine
from notebake.plan import plan, spec, targets
from notebake.plan.password import password_hash
from notebake.plan.plan import Plan
from notebake.probe.report import Report
from notebake.progress import Steps

FACTS = {
    "python packages": "/opt/notebake/env/bin/python -c 'import importlib.metadata as m;"
    'print(*sorted(f"{d.name}=={d.version}" for d in m.distributions()),sep=chr(10))\'',
    "os packages": "dpkg-query -W",
    # notebake-setup is enabled only on machines with user-data: an image is already set up.
    "units": "systemctl list-unit-files --no-legend 'notebake-*' nftables.service"
    " | grep -v setup | tr -s ' '",
    "timers of updates": "systemctl list-unit-files --no-legend 'apt-daily*' 'unattended-upgrades*'",
    "updates": "apt-config dump | grep -i -e periodic -e origins -e lock::timeout",
    "firewall": "nft list ruleset",
    "listening": "ss -Hltn | awk '{print $4}' | sort",
    "server config": "cat /etc/jupyter/jupyter_server_config.json",
    "kernel": "cat /opt/notebake/env/share/jupyter/kernels/nbserver/kernel.json",
    "profile": "cat /home/azureuser/.ipython/profile_nbserver/ipython_kernel_config.py",
    "sources": "cat /etc/apt/sources.list",
    "cloud": "cat /etc/cloud/cloud.cfg.d/90-notebake.cfg",
    "provisioning files": "sh -c 'cd /opt/notebake/guest && "
    'find . -type f -not -path "*/__pycache__/*" | sort | xargs sha256sum\'',
    "modes": "stat -c '%n %U:%G %a' /opt/notebake /opt/notebake/env /opt/notebake/matplotlib"
    " /var/lib/notebake/tls/key.pem /etc/jupyter/jupyter_server_config.json /home/azureuser/notebooks",
    "users": "sh -c 'cut -d: -f1,3,6,7 /etc/passwd | sort'",
    "setuid": "find / -xdev -perm /6000 -type f",
}


@pytest.mark.usefixtures("baked")
def test_user_data_and_golden_image_give_the_same_machine_and_pass_the_same_probe(
    start: Callable[..., Machine], look: Callable[..., Report], inside: Callable[..., str]
) -> None:
    by_user_data, golden = start("incus"), start("incus", golden=True)
    for machine in (by_user_data, golden):
        report = look(machine)
        assert report.passed, report.to_json()
        assert {result.status for result in report.results} == {"passed"}, report.to_json()
    # Font cache and bytecode are made after the notebook answers.
    tenacity.Retrying(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(300), reraise=True)(
        lambda: inside(by_user_data, "test", "-e", "/opt/notebake/env/warm")
    )
    for name, command in FACTS.items():
        first, second = (
            inside(machine, "sh", "-c", f'"{_quoted(command)}"') for machine in (by_user_data, golden)
        )
        assert first == second, name
    # The probe's check `updates` has just refreshed apt's lists.
    simulated = inside(golden, "apt-get", "--simulate", "dist-upgrade")
    assert "\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n" in simulated
    origins = inside(golden, "unattended-upgrade", "--dry-run", "--verbose")
    assert re.search(r"Allowed origins are: archive=\*-security$", origins, re.M), origins
    assert inside(golden, "systemctl", "is-active", "apt-daily.timer", "apt-daily-upgrade.timer").split() == [
        "active", "active"
    ]  # fmt: skip
    for secret in ("/etc/machine-id", "/var/lib/notebake/tls/key.pem", "/etc/ssh/ssh_host_ed25519_key"):
        assert inside(by_user_data, "cat", secret) != inside(golden, "cat", secret), secret


def _quoted(command: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", command)


@pytest.mark.usefixtures("baked")
def test_the_probe_finds_what_is_broken_on_a_real_machine(
    start: Callable[..., Machine], look: Callable[..., Report], inside: Callable[..., str]
) -> None:
    machine = start("incus", golden=True)
    outside = ("tls", "fingerprint", "san", "login_refused", "login", "plot", "profile", "builtins")

    def failed() -> set[str]:
        return {result.name for result in look(machine, *outside, "not_root", "port_closed").failed}

    inside(machine, "nft", "flush", "ruleset")
    assert failed() == {"port_closed"}
    inside(machine, "systemctl", "restart", "nftables")
    families.check_metadata(machine, look, "nftables")
    profile = "/home/azureuser/.ipython/profile_nbserver/ipython_kernel_config.py"
    inside(machine, "sed", "-i", "/pylab/d", profile)
    assert failed() == {"plot", "profile", "builtins"}
    server = ("systemctl", "show", "-P", "MainPID", "notebake-notebook")
    before = inside(machine, *server)
    inside(machine, "rm", "/opt/notebake/guest/complete")
    inside(machine, "systemctl", "start", "notebake-setup")  # every step can be repeated, and repairs
    assert inside(machine, *server) == before, "a server that was started from the same files keeps running"
    assert failed() == set()
    inside(machine, "rm", "-r", "/var/lib/notebake/tls")
    inside(machine, "systemctl", "start", "notebake-certificate")
    # The server gets the new certificate within a second.
    for attempt in tenacity.Retrying(stop=tenacity.stop_after_attempt(5), reraise=True):
        with attempt:
            assert "fingerprint" in failed()


def test_new_user_data_takes_effect_at_the_next_boot(
    the_plan: Plan,
    start: Callable[..., Machine],
    look: Callable[..., Report],
    inside: Callable[..., str],
    incus: Incus,
) -> None:
    """The server starts early in a boot, from the old files: set-up must restart it."""
    machine = start("incus")
    password = "another horse"
    hashed = password_hash(password, salt=bytes(16))
    notebook = the_plan.spec.notebook.model_copy(update={"password": hashed})
    changed_spec = the_plan.spec.model_copy(update={"notebook": notebook})
    lines = tuple(line for line in the_plan.lock.lines if not line.startswith("pandas=="))
    changed = replace(the_plan, spec=changed_spec, lock=replace(the_plan.lock, lines=lines))
    # Incus gives it another instance-id with them.
    text = gzip.decompress(user_data(changed).seed).decode()
    incus.client("config", "set", machine.name, "cloud-init.user-data", "-", stdin=text)
    process.run(machine.ssh.argv("sudo -n reboot"), timeout=60, check=False)
    machine.ssh.known_hosts.unlink()  # another instance has other host keys

    @tenacity.retry(wait=tenacity.wait_fixed(2), stop=tenacity.stop_after_delay(300), reraise=True)
    def served() -> None:
        assert look(machine, "login", password=password).passed

    served()
    assert not look(machine, "login").passed, "the old password still works"
    assert look(machine, "plot", "builtins", password=password).passed
    (environment,) = inside(machine, "sh", "-c", "'ls -d /opt/notebake/env-*'").split()
    pid = inside(machine, "systemctl", "show", "-P", "MainPID", "notebake-notebook").strip()
    assert environment in inside(machine, "cat", f"/proc/{pid}/maps")


@pytest.mark.usefixtures("baked")
def test_a_renewed_certificate_is_served_without_a_restart(
    start: Callable[..., Machine], inside: Callable[..., str]
) -> None:
    machine = start("incus", golden=True)
    before = inside(machine, "systemctl", "show", "-P", "MainPID", "notebake-notebook")
    inside(machine, "hostname", "renamed-machine")
    inside(machine, "systemctl", "start", "notebake-certificate")
    # The server gets the new certificate within a second.
    served = tenacity.Retrying(
        wait=tenacity.wait_fixed(0.2), stop=tenacity.stop_after_delay(60),
        retry=tenacity.retry_if_result(lambda served: served == machine.fingerprint),
    )(lambda: wait.answer(machine.address)[0])  # fmt: skip
    assert served == console.fingerprint(families.console_log(machine))
    assert inside(machine, "systemctl", "show", "-P", "MainPID", "notebake-notebook") == before


def test_without_a_password_only_the_console_shows_the_token_and_scanners_find_what_should_be(
    start: Callable[..., Machine],
    look: Callable[..., Report],
    inside: Callable[..., str],
    incus: Incus,
    tmp_path: Path,
) -> None:
    bare = plan.make(
        spec.parse('mirrors = "host"', source="x"), targets.get("debian-13"), tmp_path, now=datetime.now(UTC)
    )
    machine = start("incus", from_plan=bare)
    token = lifecycle.token(machine)
    assert token and len(token) == 48
    report = look(machine, "login_refused", "login", "plot", password=None, token=token)
    assert report.passed, report.to_json()
    assert token not in (machine.folder / "machine.json").read_text()
    assert inside(machine, "journalctl", "--no-pager", "--boot").count(token) == 0
    assert inside(machine, "stat", "-c", "%U%a", "/var/lib/notebake/token").strip() == "root600"
    # The machine's own address: on this host's, only single ports are published.
    card = incus.address(machine.name)
    assert scanners.open_ports(card) == {22, 443, 9999}, "443 is redirected to 9999"
    assert scanners.tls_problems(Address(host=card, port=9999)) == {"certificate_path_validation"}
    index, findings = scanners.hardening(lambda script: families.root_shell(machine, script))
    assert index >= 70, findings


def test_an_own_certificate_is_served_with_the_key_copied_over_ssh(
    start: Callable[..., Machine], look: Callable[..., Report], tmp_path: Path, steps: Steps
) -> None:
    """The certificate names neither the machine nor its address: users reach it by another name."""
    chain = corporate(rsa_key(3072))
    (tmp_path / "site.key").write_bytes(chain[0].key_pem)
    (tmp_path / "site.pem").write_bytes(b"".join(pair.pem for pair in chain))
    text = 'mirrors = "host"\n[certificate]\ncertificate = "site.pem"\nkey = "site.key"\n'
    own = plan.make(spec.parse(text, source="x"), targets.get("debian-13"), tmp_path, now=datetime.now(UTC))
    machine = start("incus", from_plan=own)
    assert machine.fingerprint == chain[0].fingerprint
    report = look(machine, "tls", "fingerprint", "san", "login_refused")
    assert report.passed, report.to_json()
    assert "nb.corp.example" in report.results[2].detail
