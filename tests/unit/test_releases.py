"""The state of package sources: what a release file lists, not when it was signed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from notebake.bake import inputs
from notebake.bases import web
from notebake.bases.releases import read  # the real one: conftest replaces the module's name
from notebake.errors import CommandFailed, SpecError
from notebake.files import RenderedFile
from notebake.plan.plan import Plan

Make = Callable[..., Plan]


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "mirror"
    for suite in ("trixie", "trixie-updates", "trixie-security"):
        publish(folder, suite, "a" * 64)
    return folder


def publish(mirror: Path, suite: str, digest: str, date: str = "Sat, 21 Nov 2026 10:00:00 UTC") -> None:
    path = mirror / "dists" / suite / "InRelease"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"Suite: {suite}\nDate: {date}\nSHA256:\n {digest} 10 main/binary-amd64/Packages.xz\n"
        f" {'b' * 64} 10 main/source/Sources.xz\n-----BEGIN PGP SIGNATURE-----\n{date}\n"
    )


def text(mirror: Path, more: str = "") -> str:
    url = mirror.as_uri()
    return f'[mirrors]\napt = "{url}"\napt_security = "{url}"\n{more}'


def test_a_source_changes_with_its_packages_and_not_with_its_signature(mirror: Path, make_plan: Make) -> None:
    plan = make_plan(text(mirror))
    before = read(plan)
    assert [(one.name, one.date[:10]) for one in before][:2] == [
        ("trixie", "2026-11-21"),
        ("trixie-updates", "2026-11-21"),
    ]
    publish(mirror, "trixie", "a" * 64, "Sun, 22 Nov 2026 10:00:00 UTC")
    assert [one.digest for one in read(plan)] == [one.digest for one in before]
    publish(mirror, "trixie-security", "c" * 64, "Tue, 24 Nov 2026 10:00:00 UTC")
    after = read(plan)
    old = {f"source/{one.name}": one.digest for one in before}
    new = {f"source/{one.name}": one.digest for one in after}
    assert inputs.reasons(old, new, after) == ["trixie-security changed on 2026-11-24"]


def test_offline_takes_the_last_answer(mirror: Path, make_plan: Make) -> None:
    plan = make_plan(text(mirror))
    with pytest.raises(SpecError, match="was never read"):
        read(plan, offline=True)
    last = read(plan)
    publish(mirror, "trixie", "c" * 64)
    assert read(plan, offline=True) == last


def test_a_broken_source_is_named(mirror: Path, make_plan: Make) -> None:
    (mirror / "dists/trixie-updates/InRelease").unlink()
    with pytest.raises(CommandFailed, match=r"trixie-updates cannot be read: .*no such file"):
        read(make_plan(text(mirror)))
    with pytest.raises(CommandFailed, match="lists no packages of contrib for amd64"):
        read(make_plan(text(mirror).replace("[mirrors]", '[mirrors]\napt_components = ["contrib"]')))


@contextmanager
def refusing_proxy() -> Iterator[str]:
    """The host and port of a proxy that answers each request with 403."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403, "Filtered")

        do_CONNECT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_named_without_its_password(
    scheme: str, mirror: Path, make_plan: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PAUSES", ())
    with refusing_proxy() as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://someone:secret@{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(CommandFailed) as caught:
            read(make_plan(f'[mirrors]\napt = "{scheme}://mirror.example/debian"'))
    assert f"{scheme}://mirror.example/debian/dists/trixie/InRelease: " in caught.value.message
    assert caught.value.message.endswith(f"403 Filtered, through the proxy {proxy}")


def test_without_an_upgrade_nothing_is_read(mirror: Path, make_plan: Make) -> None:
    assert read(make_plan(text(mirror, "[image]\nupgrade = false\n").replace("/mirror", "/none"))) == ()
    upgraded, kept = (
        {file.path for file in archive(make_plan(text(mirror, more)))}
        for more in ("", "[image]\nupgrade = false\n[updates]\nat_first_boot = true\n")
    )
    assert "upgrade.sh" in upgraded and "upgrade.sh" not in kept


def archive(plan: Plan) -> tuple[RenderedFile, ...]:
    from notebake.provision import files, upgrade

    return upgrade.for_bake(plan, files.build(plan))
