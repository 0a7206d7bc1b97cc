"""The provisioning programs for Windows, run on Linux: files, permissions, and calls of the service."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509

from notebake.plan.plan import Plan
from notebake.provision import files, windows

MODULES = ("paths", "access", "configure", "service", "wheels")


class Windows:
    """The provisioning files in a folder, their modules, and the programs that they call."""

    def __init__(self, root: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.codes: dict[str, int] = {}
        self.before_call: Callable[[list[str]], object] = lambda argv: None
        self.home, self.folder = root / "Program Files/notebake", root / "Program Files/notebake/guest-0123"
        for file in files.build(plan).files:
            path = self.folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.data)
        self.env = self.home / "env-0123"
        (self.env / "Scripts").mkdir(parents=True)
        (self.env / "Scripts/nssm.exe").write_bytes(b"MZ")
        monkeypatch.setenv("PROGRAMDATA", str(root / "ProgramData"))
        monkeypatch.syspath_prepend(str(self.folder))
        monkeypatch.setattr(subprocess, "run", self.run)
        for name in (*MODULES, "jupyter_settings", "certificate"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in MODULES:
            module = importlib.import_module(name)
            assert str(module.__file__).startswith(str(self.folder))
            setattr(self, name, module)

    paths: ModuleType
    access: ModuleType
    configure: ModuleType
    service: ModuleType
    wheels: ModuleType

    def run(self, argv: list[str], **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
        self.calls.append([str(word) for word in argv])
        self.before_call(self.calls[-1])
        code = self.codes.get(" ".join(map(str, argv[:2])), 0)
        return subprocess.CompletedProcess(argv, code, b"output\n")

    def rights(self) -> dict[str, list[str]]:
        return {Path(call[1]).name: call[4:-1] for call in self.calls if call[0] == "icacls.exe"}


@pytest.fixture
def machine(
    tmp_path: Path, make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Windows]]:
    def make(*text: str) -> Windows:
        return Windows(tmp_path, make_plan(*text, target="windows-2025"), monkeypatch)

    yield make
    for name in (*MODULES, "jupyter_settings", "certificate"):
        sys.modules.pop(name, None)


def test_set_up_writes_jupyters_files_and_can_be_repeated(machine: Callable[..., Windows]) -> None:
    box = machine()
    box.codes["sc.exe query"] = 1060  # no such service
    box.configure.main(box.env)
    first = {path: path.read_bytes() for path in box.home.parent.parent.rglob("*") if path.is_file()}
    assert next(call[1] for call in box.calls if call[0].endswith("nssm.exe")) == "install"
    box.calls.clear()
    box.codes.clear()
    box.configure.main(box.env)
    again = {path: path.read_bytes() for path in box.home.parent.parent.rglob("*") if path.is_file()}
    assert first == again
    verbs = [call[1] for call in box.calls if call[0].endswith("nssm.exe")]
    assert verbs[0] == "stop" and "install" not in verbs
    kernel = json.loads((box.env / "share/jupyter/kernels/nbserver/kernel.json").read_text())
    assert kernel["argv"][0].endswith("python.exe") and kernel["argv"][-2:] == ["--profile", "nbserver"]
    profile = box.paths.DATA / "ipython/profile_nbserver/ipython_kernel_config.py"
    assert 'c.IPKernelApp.pylab = "inline"' in profile.read_text()
    server = json.loads((box.paths.CONFIG / "jupyter_server_config.json").read_text())
    assert server["ServerApp"]["port"] == 9999 and server["ServerApp"]["answer_yes"] is True
    assert server["ServerApp"]["keyfile"] == str(box.paths.TLS / "key.pem")
    # Its hash is only in config.json, where the service reads it.
    assert server["PasswordIdentityProvider"] == {"password_required": True, "allow_password_change": False}
    assert (box.paths.DATA / "notebooks").is_dir()


def test_set_up_removes_the_environments_of_older_locks(machine: Callable[..., Windows]) -> None:
    box = machine()
    (box.home / "env-4567/Scripts").mkdir(parents=True)
    (box.home / "env-4567/Scripts/python.exe").write_bytes(b"MZ")
    box.configure.main(box.env)
    assert list(box.home.glob("env-*")) == [box.env]


def test_an_upgrade_leaves_the_folder_that_the_service_runs_in(machine: Callable[..., Windows]) -> None:
    """The service moves to the new folder with NSSM's settings; only then is the old one removed."""
    box = machine()
    old = box.home / "guest-4567"
    old.mkdir()
    (old / "service.py").write_text("")
    seen = []
    box.before_call = lambda argv: seen.append((argv[:3], old.exists()))
    box.configure.main(box.env)
    moves = [n for n, (argv, _) in enumerate(seen) if argv[1:] == ["set", "notebake"]]
    assert moves and all(there for _, there in seen[: moves[-1] + 1]) and not old.exists()
    settings = {call[3]: call[4:] for call in box.calls if call[1:3] == ["set", "notebake"]}
    assert settings["AppDirectory"] == [str(box.folder)]


def test_only_administrators_and_the_service_have_access(machine: Callable[..., Windows]) -> None:
    box = machine()
    box.configure.main(box.env)
    admins = ["*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F"]
    assert box.rights() == {
        "guest-0123": [*admins, r"NT SERVICE\notebake:(OI)(CI)RX"],
        "config": [*admins, r"NT SERVICE\notebake:(OI)(CI)RX"],
        "logs": [*admins, r"NT SERVICE\notebake:(OI)(CI)M"],
        "data": [*admins, r"NT SERVICE\notebake:(OI)(CI)M"],
    }
    for call in box.calls:
        if call[0] == "icacls.exe":
            assert call[2:4] == ["/inheritance:r", "/grant:r"]
    # Installing the service creates the account, so it comes before permissions.
    kinds = [call[0].rsplit("/", 1)[-1] for call in box.calls]
    assert max(n for n, kind in enumerate(kinds) if kind == "nssm.exe") < kinds.index("icacls.exe")


def test_the_calls_that_configure_the_service(machine: Callable[..., Windows]) -> None:
    home = PureWindowsPath(r"C:\Program Files\notebake")
    env, log = home / "env-0123", PureWindowsPath(r"C:\ProgramData\notebake\logs\notebook.log")
    calls = machine().configure.service_commands(
        str(home / "nssm.exe"), str(env / "Scripts/python.exe"), str(home / "guest"), str(log), False
    )
    assert calls[0] == [
        r"C:\Program Files\notebake\nssm.exe", "install", "notebake",
        r"C:\Program Files\notebake\env-0123\Scripts\python.exe",
    ]  # fmt: skip
    settings = {tuple(call[3:4]): call[4:] for call in calls if call[1] == "set"}
    assert settings[("AppExit",)] == ["Default", "Restart"]
    assert settings[("Start",)] == ["SERVICE_AUTO_START"]
    assert ["sc.exe", "config", "notebake", "obj=", r"NT SERVICE\notebake"] in calls
    # An argument with quotes or a trailing backslash would be changed.
    assert not any('"' in word or word.endswith("\\") for call in calls for word in call)


def test_set_up_fails_with_the_output_of_a_failing_program(machine: Callable[..., Windows]) -> None:
    box = machine()
    box.codes["sc.exe config"] = 5
    with pytest.raises(SystemExit, match=r"sc\.exe config notebake .*: exit code 5: output"):
        box.configure.main(box.env)


def test_the_services_first_start_makes_certificate_and_token(machine: Callable[..., Windows]) -> None:
    box = machine('[certificate]\nnames = ["lab.example"]')
    config = json.loads((box.folder / "config.json").read_text())
    box.paths.TLS.mkdir(parents=True)
    box.service.identity(config)
    new = x509.load_pem_x509_certificate((box.paths.TLS / "cert.pem").read_bytes())
    san = new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"lab.example", "localhost"} <= set(san.get_values_for_type(x509.DNSName))
    fingerprint, process = box.paths.READY.read_text().splitlines()
    assert len(fingerprint.split(":")) == 32
    assert int(process) == os.getpid(), "a file of an earlier boot cannot be told from one of this boot"
    token = box.paths.TOKEN.read_text()
    assert len(token) == 48
    # Key and token get their permissions before their final names.
    assert {"key.pem.new", "cert.pem.new", "token.new"} == set(box.rights())
    assert box.rights()["key.pem.new"] == [
        "*S-1-5-18:F", "*S-1-5-32-544:F", r"NT SERVICE\notebake:M",
    ]  # fmt: skip
    box.calls.clear()
    box.service.identity(config)
    assert (box.paths.READY.read_text().split("\n")[0], box.paths.TOKEN.read_text(), box.calls) == (
        fingerprint,
        token,
        [],
    )


def test_a_failed_certificate_is_reported_and_retried(
    machine: Callable[..., Windows], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = machine()
    tries = []

    def identity(config: object) -> None:
        tries.append(config)
        raise PermissionError("no")

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 10
            return len(tries) == 2

    monkeypatch.setattr(box.service, "identity", identity)
    monkeypatch.setattr(box.service, "addresses", lambda: ["10.0.0.5"])
    box.service.keep_identity({}, Stop())
    assert len(tries) == 2 and "certificate failed: no" in capsys.readouterr().out


def test_the_certificate_waits_for_an_address(
    machine: Callable[..., Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before DHCP answers Windows has a link-local address, which is none to put into a certificate."""
    box = machine()
    config = json.loads((box.folder / "config.json").read_text())
    box.paths.TLS.mkdir(parents=True)
    before = ["fe80::1%4", "169.254.7.7", "127.0.0.1", "::1"]
    answers = iter([before, before, [*before, "10.0.0.5"]])
    seen = []

    def getaddrinfo(*_: object) -> list[tuple[object, ...]]:
        seen[:] = next(answers, [*before, "10.0.0.5"])
        return [(0, 0, 0, "", (address, 0)) for address in seen]

    class Stop(threading.Event):
        pauses = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses += 1
            return timeout != 1

    stop = Stop()
    monkeypatch.setattr(box.service.socket, "getaddrinfo", getaddrinfo)
    box.service.keep_identity(config, stop)
    assert stop.pauses == 3, "two pauses before the address, one after the certificate"
    made = x509.load_pem_x509_certificate((box.paths.TLS / "cert.pem").read_bytes())
    san = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in san.get_values_for_type(x509.IPAddress)}
    assert addresses == {"10.0.0.5", "127.0.0.1", "::1"}


def test_a_machine_without_an_address_gets_a_certificate_too(
    machine: Callable[..., Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = machine()
    monkeypatch.setattr(box.service, "addresses", lambda: [])
    monkeypatch.setattr(box.service, "ADDRESS_SECONDS", 0)
    box.service.wait_for_address(threading.Event())


def test_jupyter_writes_only_in_the_services_folder(machine: Callable[..., Windows]) -> None:
    box = machine()
    environment = box.service.environment()
    assert environment.pop("JUPYTER_CONFIG_PATH") == str(box.paths.CONFIG)
    assert all(Path(path).is_relative_to(box.paths.DATA) for path in environment.values())


def test_the_lock_is_restored_only_from_matching_wheels(
    machine: Callable[..., Windows], make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = machine()
    plan = make_plan(target="windows-2025")
    names = {line.split("==")[0]: line.split(" ")[0].split("==")[1] for line in plan.lock.lines}
    contents = {
        f"{name.replace('-', '_')}-{version}-py3-none-any.whl": name.encode()
        for name, version in names.items()
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    config = json.loads((box.folder / "config.json").read_text())
    config["wheels_sha256"] = box.wheels.of_all(digests.values())
    (box.folder / "config.json").write_text(json.dumps(config))
    (box.folder / "requirements.txt").unlink()

    def fetch(index: str) -> None:
        assert index == "https://index.example/simple"
        box.wheels.FOLDER.mkdir()
        for name, data in contents.items():
            (box.wheels.FOLDER / name).write_bytes(data)

    monkeypatch.setattr(box.wheels, "fetch", fetch)
    box.wheels.main()
    restored = (box.folder / "requirements.txt").read_text().splitlines()
    assert sorted(line.split(" ")[0] for line in restored) == sorted(
        line.split(" ")[0] for line in plan.lock.lines
    )
    assert all(line.endswith(digests[name]) for line, name in zip(restored, sorted(contents), strict=True))
    (box.folder / "requirements.txt").unlink()
    shutil.rmtree(box.wheels.FOLDER)
    contents[next(iter(contents))] = b"another"
    with pytest.raises(SystemExit, match="do not match the lock"):
        box.wheels.main()
    assert not (box.folder / "requirements.txt").exists() and not box.wheels.FOLDER.exists()


def test_the_machine_and_notebake_compute_the_same_digest_of_all_wheels(
    machine: Callable[..., Windows], make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(target="windows-2025")
    digests = [line.rsplit(":", 1)[1] for line in plan.lock.lines]
    assert machine().wheels.of_all(digests) == windows.wheels_sha256(plan.lock)
