"""User-data that fetches its large part: what is rendered, and the program that fetches it on the machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from tests import machine_program
from tests.aws import Aws, user_data
from tests.certificates import authority
from tests.conftest import Run
from tests.loopback import Quiet, serving

from notebake import process
from notebake.machines import aws as platform
from notebake.plan import lock, spec, targets

PACKAGES = [*lock.REQUIRED, *(f"package-{number}" for number in range(397))]
LARGE = f"""
packages = {json.dumps(PACKAGES)}
[mirrors]
apt = "http://mirror.example/debian"
python = "https://index.example/simple"
ca_certificates = ["1.pem", "2.pem", "3.pem"]
[aws]
allow = ["203.0.113.0/24"]
"""


@pytest.fixture(autouse=True)
def large(tmp_path: Path) -> None:
    """A spec with 400 packages and three CA certificates in the folder that `run` works in."""
    (tmp_path / "notebake.toml").write_text(LARGE)
    for number in (1, 2, 3):
        (tmp_path / f"{number}.pem").write_bytes(authority(f"CA {number}").pem)
    hashes = [hashlib.sha256(name.encode()).hexdigest() for name in PACKAGES]
    lines = [f"{name}==1.0 --hash=sha256:{digest}" for name, digest in zip(PACKAGES, hashes, strict=True)]
    made_for = lock.purpose(spec.parse(LARGE, source="spec"), targets.get("debian-13"))
    locked = lock.Lock(made_for=made_for, uv_file="uv-1.whl", uv_sha256="0" * 64, lines=tuple(sorted(lines)))
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/debian-13.txt").write_text(locked.text())


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program for the machine."""
    return machine_program.program("include/fetch.py")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server of the folder `web`."""

    class Files(Quiet, SimpleHTTPRequestHandler):
        pass

    (tmp_path / "web").mkdir()
    with serving(partial(Files, directory=str(tmp_path / "web"))) as url:
        yield url


def config(text: bytes) -> dict[str, str]:
    """Return what user-data tells the program."""
    found: dict[str, str] = json.loads(yaml.safe_load(text)["bootcmd"][0][3])
    return found


def test_what_was_uploaded_is_what_user_data_fetches(
    run: Run, web: str, tmp_path: Path, fetch: ModuleType
) -> None:
    code, _, err = run("render", "debian-13", "--cloud", "aws")
    assert code == 2 and "the limit of aws is 16,384" in err and "--include URL" in err
    code, out, err = run("render", "debian-13", "--include", f"{web}/", "--upload", str(tmp_path / "web"))
    assert code == 0, err
    rendered = tmp_path / "rendered/debian-13"
    text = (rendered / "user-data").read_bytes()
    assert len(text) < 6000
    process.run(["cloud-init", "schema", "--config-file", rendered / "user-data"], timeout=60)
    (file,) = (tmp_path / "web").iterdir()
    assert config(text)["url"] == f"{web}/{file.name}" and config(text)["url"] in out
    assert (rendered / "include" / file.name).read_bytes() == file.read_bytes()
    guest = tmp_path / "opt/guest"
    fetch.unpack(fetch.fetch(config(text)["url"], config(text)["sha256"]), guest)
    assert (guest / "digest").read_text().strip() == config(text)["digest"]
    assert (guest / "requirements.txt").read_text().count("==") == 400
    assert (guest / "ca.pem").read_text().count("BEGIN CERTIFICATE") == 3


def test_what_goes_wrong_on_the_machine_is_said(
    run: Run, web: str, tmp_path: Path, fetch: ModuleType
) -> None:
    (tmp_path / "web/other").write_text("other")
    with pytest.raises(SystemExit, match=r"/other: SHA-256 is d9298a10.*, expected 0"):
        fetch.fetch(f"{web}/other?signature=secret", "0" * 64)
    with pytest.raises(SystemExit, match="/missing: HTTP Error 404") as caught:
        fetch.fetch(f"{web}/missing?signature=secret", "0" * 64)
    assert "secret" not in str(caught.value)

    class Cut(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")

    with serving(Cut) as url, pytest.raises(SystemExit, match=f"{url}/: IncompleteRead"):
        fetch.fetch(f"{url}/", "0" * 64)
    with pytest.raises(SystemExit, match="Connection refused"):
        fetch.fetch(f"{url}/", "0" * 64)


@pytest.mark.parametrize("url", ["", "ftp://x.example/a", "https://x.example", "https://x.example/a b", "/a"])
def test_a_url_that_no_machine_can_fetch_is_refused(url: str, run: Run) -> None:
    code, _, err = run("render", "debian-13", "--include", url)
    assert code == 2 and "--include: not an http or https URL" in err


def test_upload_needs_a_url_and_a_known_storage(run: Run) -> None:
    code, _, err = run("render", "debian-13", "--upload", "s3://bucket")
    assert code == 2 and "--upload requires --include" in err
    code, _, err = run("render", "debian-13", "--include", "https://x.example/", "--upload", "nope://bucket")
    assert code == 3 and "nope://bucket" in err


def test_it_is_launched_in_aws(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "POLL_SECONDS", 0.1)
    aws = Aws(monkeypatch)
    try:
        launch = ("launch", "debian-13", "--on", "aws", "--yes", "--timeout", "1")
        code, _, err = run(*launch)
        assert code == 2 and "the limit of aws is 16,384" in err and aws.calls == 0
        texts: list[bytes] = []
        aws.started = lambda instance: texts.append(user_data(instance))
        code, _, err = run(*launch, "--include", "https://files.example/")
        assert code == 5, err  # it never answers
        (text,) = texts
        assert config(text)["url"].startswith("https://files.example/debian-13-")
        assert yaml.safe_load(text)["hostname"] == "debian-13-1"
        assert aws.left() == []
    finally:
        aws.close()
