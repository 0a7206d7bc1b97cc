"""A launched machine's record becomes the subject of its probe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from notebake.address import Address
from notebake.machines import machine
from notebake.machines.pids import identify
from notebake.probe import launched
from notebake.probe.subject import Subject
from notebake.ssh import Ssh


def put(own_certificate: bool | None) -> None:
    folder, here = machine.folder("nb-1"), Address(host="10.213.0.2", port=443)
    machine.save(
        machine.Machine(
            name="nb-1", platform="qemu", target="debian-13", source="user-data", sha256=None,
            process=identify(os.getpid()), address=here, notebook_port=9999, canary=here, canary_inside=8765,
            fingerprint="AB:" * 31 + "AB", created="2026-11-25T03:00:00+00:00",
            console=folder / "console.log", own_certificate=own_certificate,
            ssh=Ssh(host="x", port=22, user="u", key=folder / "k", known_hosts=folder / "h"),
        )
    )  # fmt: skip


def subject(where: str) -> Subject:
    return launched.subject(
        where, password="x", token=None, fingerprint=None, profile=None, timeout_scale=1.0, ask=lambda: "x"
    )


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize("own", [True, False])
def test_the_kind_of_certificate_of_a_launched_machine_is_known(own: bool) -> None:
    put(own)
    launched_subject = subject("nb-1")
    assert launched_subject.own_certificate is own
    assert launched_subject.names == ("nb-1", "10.213.0.2")
    assert launched_subject.fingerprint == "ab" * 32


def test_for_an_address_the_kind_of_certificate_is_unknown() -> None:
    address_subject = subject("https://198.51.100.7/")
    assert (address_subject.own_certificate, address_subject.names) == (None, ())
