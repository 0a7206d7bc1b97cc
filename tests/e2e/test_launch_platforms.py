"""Launch on the local platforms: start, ssh, reboot, stop; a machine that ends early; a port in use.

A small HTTPS server stands in for the notebook: these tests are about the launch, not the provisioning.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
from rich.console import Console
from tests.incus import Incus

from notebake import process
from notebake.errors import NotReady, SpecError
from notebake.machines import console, lifecycle, platforms, reserve, wait
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.paths import state_folder
from notebake.progress import Steps

TOKEN = "00112233445566778899aabbccddeeff"
SERVER = """\
import http.server, ssl, subprocess, pathlib
folder = pathlib.Path("/srv/notebook")
folder.mkdir(exist_ok=True)
pem = folder / "cert.pem"
if not pem.exists():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-subj", "/CN=stub", "-keyout", str(folder / "key.pem"), "-out", str(pem)], check=True)
(folder / "www").mkdir(exist_ok=True)
(folder / "www/api").write_text('{"version": "0"}')
said = subprocess.run(["openssl", "x509", "-in", str(pem), "-noout", "-fingerprint", "-sha256"],
    check=True, capture_output=True, text=True).stdout
server = http.server.ThreadingHTTPServer(("", 9999),
    lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=str(folder / "www")))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pem, folder / "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
with open("/dev/console", "w") as console:
    console.write(f"notebake: certificate SHA256 {said.strip().rpartition('=')[2]}\\n")
    if not (folder / "told").exists():  # as the real one: once, when it is made
        console.write("notebake: token @token@\\n")
    (folder / "told").touch()
    console.write("notebake: ready\\n")
server.serve_forever()
""".replace("@token@", TOKEN)
UNIT = """\
[Unit]
After=network.target
[Service]
ExecStart=/usr/bin/python3 /srv/server.py
[Install]
WantedBy=multi-user.target
"""


def seed(prepared: reserve.Prepared, *, first: str = "true") -> dict[str, bytes]:
    """Return the NoCloud files of a machine that runs `first` early at boot, and then the server."""
    user = {
        "name": "azureuser",
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [prepared.public_key],
    }
    config = {
        "users": [user],
        "locale": False,
        "ssh_genkeytypes": ["ed25519"],
        "bootcmd": [first],
        "write_files": [
            {"path": "/srv/server.py", "content": SERVER},
            {"path": "/etc/systemd/system/stub.service", "content": UNIT},
        ],
        "runcmd": ["systemctl enable --now --no-block stub.service"],
    }
    return {
        "user-data": f"#cloud-config\n{json.dumps(config)}\n".encode(),
        "meta-data": json.dumps({"instance-id": prepared.name, "local-hostname": prepared.name}).encode(),
    }


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the machines of the user who runs the tests out of them. Short: it will hold QEMU's sockets."""
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


def steps() -> Steps:
    return Steps(console=Console(file=io.StringIO()))


def ssh(machine: Machine, command: str) -> str:
    """Run `command` in the machine and return its output."""
    done = process.run(machine.ssh.argv(command), timeout=120)
    return done.stdout.decode().strip()


def on_the_host(folder: Path) -> list[str]:
    """Return everything on the host that belongs to the machine of this folder, by its path.

    Other machines may start and stop on the same host meanwhile.
    """
    commands = [
        ["findmnt", "--list", "--noheadings", "--output", "TARGET,SOURCE"],
        ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        ["ps", "-ww", "-e", "-o", "args"],
    ]
    output = "".join(process.run(argv, timeout=30, check=False).stdout.decode() for argv in commands)
    return [line for line in output.splitlines() if str(folder) in line]


def test_a_container_starts_reboots_stops_starts_again_and_leaves_nothing_behind(
    incus: Incus, base_root: Path
) -> None:
    prepared = reserve.prepare("debian-13")
    request = Request(
        name=prepared.name,
        target="debian-13",
        platform="incus",
        root=base_root,
        seed=seed(prepared),
        user="azureuser",
        limit=300,
    )
    machine = lifecycle.launch(request, steps=steps())
    try:
        assert lifecycle.machines() == [machine]
        assert lifecycle.token(machine) == TOKEN
        assert wait.answer(machine.address) == (machine.fingerprint, 200)
        assert "token" not in (machine.folder / "machine.json").read_text()
        assert ssh(machine, "cloud-init status --wait || true; hostname").endswith(prepared.name)
        boot = ssh(machine, "sudo stat --format %Z /run/systemd")
        # Reboot closes the connection, so the exit code means nothing.
        process.run(machine.ssh.argv("sudo systemctl reboot"), timeout=60, check=False)
        for attempt in tenacity.Retrying(wait=tenacity.wait_fixed(0.5), stop=tenacity.stop_after_delay(90)):
            with attempt:
                assert ssh(machine, "sudo stat --format %Z /run/systemd") != boot
        again = wait.Watch(machine, steps=steps(), limit=120).run()
        assert again.fingerprint == machine.fingerprint
        ssh(machine, "echo kept > notes; sync")
        assert lifecycle.stop(machine.name), "it went down by itself"
        assert list(platforms.states(lifecycle.machines()).values()) == ["stopped"]
        assert TOKEN not in incus.client("console", "--show-log", machine.name)
        assert lifecycle.token(machine) == TOKEN
        is_the_same(machine, lifecycle.start(machine.name, steps=steps(), limit=120))
        the_host_loses_power(incus, machine)
        is_the_same(machine, lifecycle.start(machine.name, steps=steps(), limit=120))
    finally:
        lifecycle.delete(machine.name)
    assert not lifecycle.machines()
    assert list((state_folder() / "machines").iterdir()) == []
    assert on_the_host(prepared.folder) == [] and incus.instances() == {}


def test_a_virtual_machine_starts_again_as_it_was_without_the_image_it_came_from(
    base_disk: Path, tmp_path: Path
) -> None:
    """The next bake replaces the image, and a cache may be emptied, while the machine is stopped."""
    image = tmp_path / "image.qcow2"
    shutil.copyfile(base_disk, image)
    prepared = reserve.prepare("debian-13")
    request = Request(
        name=prepared.name,
        target="debian-13",
        platform="qemu",
        disk=image,
        seed=seed(prepared),
        user="azureuser",
        memory_mib=768,
        limit=600,
    )
    machine = lifecycle.launch(request, steps=steps())
    try:
        ssh(machine, "echo kept > notes; sync")
        assert lifecycle.stop(machine.name, seconds=120), "it went down by itself"
        assert list(platforms.states(lifecycle.machines()).values()) == ["stopped"]
        image.unlink()  # a bake replaces it by renaming another one over it
        with (
            socket.create_server((machine.address.host, machine.address.port)),
            pytest.raises(SpecError, match=f"port {machine.address.port}: already used"),
        ):
            lifecycle.start(machine.name, steps=steps())
        is_the_same(machine, lifecycle.start(machine.name, steps=steps(), limit=600))
    finally:
        lifecycle.delete(machine.name)
    assert on_the_host(prepared.folder) == []


def the_host_loses_power(incus: Incus, machine: Machine) -> None:
    """The daemon and the machine end at once, and the host boots again."""
    first = int(incus.query(f"/instances/{machine.name}/state")["pid"])
    incus.end(signal.SIGKILL)
    os.kill(first, signal.SIGKILL)
    assert list(platforms.states(lifecycle.machines()).values()) == ["unreachable"]
    incus.start()


def is_the_same(machine: Machine, again: Machine) -> None:
    """The machine, booted again, has all that its owner knows of it, and its disk."""
    for name in ("name", "url", "fingerprint", "ssh", "canary"):
        assert getattr(again, name) == getattr(machine, name), name
    assert wait.answer(again.address) == (machine.fingerprint, 200)
    assert console.fingerprint(console.read(again.console)) == machine.fingerprint, "pinned from this boot"
    assert lifecycle.token(again) == TOKEN
    assert ssh(again, "cat notes") == "kept"


def test_a_machine_that_ends_early_leaves_only_its_log(incus: Incus, base_root: Path) -> None:
    prepared = reserve.prepare("debian-13", "dies")
    request = Request(
        name="dies",
        target="debian-13",
        platform="incus",
        root=base_root,
        seed=seed(prepared, first="echo the-last-words > /dev/console; systemctl poweroff --force --force"),
        user="azureuser",
        offline=True,
        limit=300,
    )
    with pytest.raises(NotReady, match="process ended") as caught:
        lifecycle.launch(request, steps=steps())
    log = console.read(state_folder() / "failed/dies.log")
    assert "the-last-words" in log
    # Other messages may follow the last words.
    assert console.tail(log) in caught.value.message
    assert not prepared.folder.exists()
    assert on_the_host(prepared.folder) == [] and incus.instances() == {}


def test_a_port_in_use_is_refused_and_leaves_nothing(base_disk: Path) -> None:
    prepared = reserve.prepare("debian-13")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        request = Request(
            name=prepared.name,
            target="debian-13",
            platform="qemu",
            disk=base_disk,
            seed=seed(prepared),
            user="azureuser",
            public_port=port,
        )
        with pytest.raises(SpecError, match=f"port {port}: already used"):
            lifecycle.launch(request, steps=steps())
    assert not prepared.folder.exists()
    assert on_the_host(prepared.folder) == []
