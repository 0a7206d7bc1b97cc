"""What a host needs, on every host that notebake knows; only their os-release is here, not the hosts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Run

from notebake import process
from notebake.cli import doctor as cli_doctor
from notebake.doctor import install, needs
from notebake.doctor.examine import Finding, examine
from notebake.doctor.install import choose_mirror, commands, suites
from notebake.doctor.needs import JOBS, Host, Need, all_needs, identify
from notebake.errors import CommandFailed

# As the releases write them: ID, VERSION_ID and what may be there besides.
RELEASES = {
    "debian-12": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
    "debian-13": {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"},
    "ubuntu-24.04": {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04",
                     "PRETTY_NAME": "Ubuntu 24.04.3 LTS"},
    "ubuntu-26.04": {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "26.04",
                     "PRETTY_NAME": "Ubuntu 26.04 LTS"},
    "fedora": {"ID": "fedora", "VERSION_ID": "43", "PRETTY_NAME": "Fedora Linux 43 (Server Edition)"},
    "opensuse-leap": {"ID": "opensuse-leap", "ID_LIKE": "suse opensuse", "VERSION_ID": "16.0"},
    "opensuse-tumbleweed": {"ID": "opensuse-tumbleweed", "VERSION_ID": "20261120"},
    "macos": {"ID": "macos", "PRETTY_NAME": "macOS"},
}  # fmt: skip
UNKNOWN = [
    {},
    {"ID": "arch", "PRETTY_NAME": "Arch Linux"},
    {"ID": "debian", "VERSION_ID": "11", "PRETTY_NAME": "Debian GNU/Linux 11 (bullseye)"},
    {"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux forky/sid"},
    {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_ID": "24.04", "PRETTY_NAME": "Linux Mint 24.04"},
]


def host(key: str) -> Host:
    found = identify(RELEASES[key])
    assert found is not None
    return found


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without any of the programs and files."""
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    monkeypatch.setattr("pathlib.Path.exists", lambda self: False)


def no_mirror(suite: str) -> None:
    raise AssertionError(f"asked for a mirror of {suite}")


def missing(key: str, *jobs: str) -> tuple[Host, list[Finding]]:
    return host(key), examine(jobs, host(key), Path("/"))


@pytest.mark.parametrize("key", RELEASES)
def test_a_known_host(key: str) -> None:
    assert host(key).key == key


@pytest.mark.parametrize("release", UNKNOWN, ids=lambda release: release.get("ID", "none"))
def test_an_unknown_host(release: dict[str, str]) -> None:
    assert identify(release) is None


@pytest.mark.parametrize("key", RELEASES)
@pytest.mark.parametrize("need", all_needs(), ids=lambda need: need.what)
def test_each_host_has_a_package_or_is_told_what_to_do(need: Need, key: str) -> None:
    row = host(key)
    ways = [need.package(row) is not None, row.manager in need.not_on, need.by_hand is not None]
    assert any(ways) and not (ways[0] and ways[1])
    assert (need.instead is not None) == bool(need.not_on)
    assert set(need.jobs) <= set(JOBS)
    # Another suite is for Debian alone.
    assert all(name.startswith("debian-") for name in need.suites)


@pytest.mark.parametrize(
    ("key", "packages"),
    [
        ("debian-12", {"packer", "xorriso", "qemu-system-x86", "qemu-utils", "gpgv", "mmdebstrap",
                       "e2fsprogs", "fdisk", "grub-common", "zstd", "grub-pc-bin", "debian-archive-keyring"}),
        ("debian-13", {"packer", "xorriso", "qemu-system-x86", "qemu-utils", "gpgv", "mmdebstrap",
                       "e2fsprogs", "fdisk", "grub-common", "zstd", "grub-pc-bin", "debian-archive-keyring"}),
        ("ubuntu-24.04", {"xorriso", "qemu-system-x86", "qemu-utils", "gpgv", "mmdebstrap", "e2fsprogs",
                          "fdisk", "grub-common", "zstd", "grub-pc-bin", "debian-archive-keyring"}),
        ("fedora", {"xorriso", "qemu-system-x86-core", "qemu-img", "gnupg2-verify"}),
        ("opensuse-leap", {"xorriso", "qemu-x86", "qemu-img", "gpg2"}),
        ("macos", {"xorriso", "qemu", "gnupg"}),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("nothing")
def test_what_a_bake_needs(key: str, packages: set[str]) -> None:
    _, found = missing(key, "bake")
    assert {item.package for item in found if item.package} == packages


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("debian-12", ["bookworm-backports"]),
        ("debian-13", ["bookworm"]),
        ("ubuntu-24.04", []),
        ("fedora", []),
        ("opensuse-leap", []),
        ("macos", []),
    ],
)
@pytest.mark.usefixtures("nothing")
def test_only_debian_gets_another_suite(key: str, expected: list[str]) -> None:
    row, found = missing(key, *JOBS)
    assert suites(found) == expected
    if not expected:
        commands(row, found, sudo=True, mirror=no_mirror)


@pytest.mark.usefixtures("nothing")
def test_the_commands_on_debian_13() -> None:
    row, found = missing("debian-13", "bake")
    found = [item for item in found if item.what in ("packer", "zstd", "xorriso")]
    made = commands(row, found, sudo=True, mirror=lambda suite: "http://mirror.example/debian")
    apt = "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends"
    assert [command.shell() for command in made] == [
        "printf %s 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' | "
        "sudo tee /etc/apt/preferences.d/notebake-bookworm >/dev/null",
        "printf %s 'deb http://mirror.example/debian bookworm main\n' | "
        "sudo tee /etc/apt/sources.list.d/notebake-bookworm.list >/dev/null",
        "sudo apt-get update -q",
        f"{apt} --target-release bookworm packer",
        f"{apt} xorriso zstd",
    ]
    known = commands(row, found, sudo=False, mirror=lambda suite: None)
    assert [command.argv[0] for command in known] == ["apt-get", "env", "env"]


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("fedora", "sudo dnf install -y openssh-clients"),
        ("opensuse-tumbleweed", "sudo zypper --non-interactive install --no-recommends openssh-clients"),
        ("macos", "brew install openssh"),
    ],
)
@pytest.mark.usefixtures("nothing")
def test_the_commands_elsewhere(key: str, line: str) -> None:
    row, found = missing(key, "probe")
    ssh = [item for item in found if item.what == "ssh"]
    assert [command.shell() for command in commands(row, ssh, sudo=True, mirror=no_mirror)] == [line]


@pytest.mark.usefixtures("nothing")
def test_what_a_host_cannot_do_is_said_and_is_no_fault_of_it() -> None:
    _, found = missing("macos", "bake", "launch")
    rows = {item.what: item for item in found}
    assert rows["mmdebstrap"].ok and rows["mmdebstrap"].detail.startswith("not on macOS: bake ubuntu-24.04")
    assert not rows["mmdebstrap"].possible and rows["packer"].possible
    assert rows["incus"].ok and rows["incus"].detail.startswith("not on macOS: launch on QEMU")
    assert not rows["packer"].ok and "developer.hashicorp.com" in rows["packer"].detail


@pytest.mark.parametrize(("instances", "says"), [("128", True), ("1024", False)])
def test_a_host_on_which_only_a_dozen_containers_start_is_told(
    instances: str, says: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "limit").write_text(f"{instances}\n")
    monkeypatch.setattr("notebake.doctor.examine._INOTIFY", tmp_path / "limit")
    monkeypatch.setattr(process, "has", lambda tool: tool == "incus")
    monkeypatch.setattr("notebake.machines.incus_client.describe", lambda: "6.0, containers")
    (row,) = [item for item in examine(["launch"], None, tmp_path) if item.what == "Incus' daemon"]
    assert row.ok and ("sysctl fs.inotify.max_user_instances=1024" in row.detail) == says


def test_nothing_missing_runs_nothing() -> None:
    found = [Finding(what="ssh", needed_for="ssh", ok=True, detail="/usr/bin/ssh")]
    assert commands(host("debian-12"), found, sudo=True, mirror=no_mirror) == []


@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("Packages|Debian-Security|trixie-security|http://s.example/\n"
         "Packages|Debian|trixie|http://d.example/", "d"),
        ("Packages|Docker|trixie|http://x.example/\nPackages|Debian|trixie|http://d.example/", "d"),
        ("Packages||trixie-security|http://s.example/\nPackages||trixie|http://d.example/", "d"),
        ("Translation-en|Debian|trixie|http://t.example/\nPackages|$(LABEL)|trixie|http://d.example/", "d"),
        ("Packages|Debian|stable|http://d.example/", "d"),
        ("Packages|Docker|trixie|http://x.example/", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_mirror_is_debians(listed: str, url: str | None) -> None:
    assert choose_mirror(listed, "trixie") == (url and f"http://{url}.example/")


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this host one with another os-release, user and no programs."""

    def be(release: dict[str, str], *, root: bool = False) -> None:
        monkeypatch.setattr(needs, "this_release", lambda: release)
        monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)

    return be


@pytest.mark.parametrize("words", [(), ("--fix",), ("--fix", "--yes"), ("--json",)], ids=" ".join)
@pytest.mark.parametrize("release", UNKNOWN, ids=lambda release: release.get("ID", "none"))
def test_doctor_on_an_unknown_host(
    run: Run, on: Callable[..., None], release: dict[str, str], words: tuple[str, ...]
) -> None:
    on(release)
    code, out, err = run("doctor", "--for", "probe", *words)
    assert code == 3 and err.count("error:") == 1 and err.count("hint:") == 1
    assert release.get("PRETTY_NAME", "without an os-release file") in err
    assert "install by hand: ssh, chromium" in err and "Debian 12, Debian 13, Ubuntu 24.04" in err
    if "--json" in words:
        found = json.loads(out)
        assert found["fix"] is None and found["host"] is None and not found["findings"][0]["ok"]


def test_fix_asks_and_without_a_terminal_wants_yes(run: Run, on: Callable[..., None]) -> None:
    on(RELEASES["ubuntu-24.04"], root=True)
    code, _, err = run("doctor", "--fix", "--for", "launch")
    assert code == 3 and "standard input is not a terminal" in err and "add --yes" in err
    assert "+ env DEBIAN_FRONTEND=noninteractive apt-get install" in err


@pytest.mark.parametrize(("code", "says"), [(100, "failed with exit code 100: apt-get update -q"), (0, "")])
def test_a_command_that_fails_ends_the_fix(code: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(process, "attached", lambda argv, stdin: ran.append(argv[0]) or code)
    row, found = (
        host("ubuntu-24.04"),
        [Finding(what="jq", needed_for="ci", ok=False, detail="", package="jq")],
    )
    made = commands(row, found, sudo=False, mirror=no_mirror)
    if code:
        with pytest.raises(CommandFailed, match=says) as caught:
            install.run(made)
        assert "check the network" in str(caught.value.hint) and ran == ["apt-get"]
    else:
        install.run(made)
        assert ran == ["apt-get", "env"]


def test_fix_without_permission_names_the_commands_for_root(run: Run, on: Callable[..., None]) -> None:
    on(RELEASES["fedora"])
    code, _, err = run("doctor", "--fix", "--yes", "--for", "probe")
    assert code == 3 and "installing packages needs root, and sudo is not installed" in err
    assert "as root run:\n  dnf install -y chromium openssh-clients\n" in err


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_narrow_and_its_fix_is_a_command(run: Run, on: Callable[..., None], job: str) -> None:
    on(RELEASES["ubuntu-24.04"], root=True)
    code, out, _ = run("doctor", "--json", "--for", job)
    found = json.loads(out)
    purposes = {need.purpose for need in all_needs([job])}
    assert code == 3 and found["host"] == "Ubuntu 24.04"
    assert {row["needed_for"] for row in found["findings"]} - {"the debian-13 base"} <= purposes
    assert found["fix"].startswith("apt-get update -q && env DEBIAN_FRONTEND=noninteractive apt-get install")
    assert "bookworm" not in found["fix"] and "packer" not in found["fix"]


def test_the_jobs_of_the_option_are_those_of_the_data() -> None:
    (option,) = [param for param in cli_doctor.command.params if param.name == "jobs"]
    assert tuple(option.type.choices) == JOBS  # type: ignore[attr-defined]
    assert {job for need in all_needs() for job in need.jobs} == set(JOBS)
