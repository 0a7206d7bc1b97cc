"""`notebake adopt` of a machine that was launched by other means: a real HTTPS server and a console log."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificates import Pair, issue
from tests.conftest import Run
from tests.loopback import Quiet, serving

from notebake import paths

TOKEN = "0123456789abcdef" * 3


class Notebook(Quiet):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def served() -> Pair:
    return issue(names=("127.0.0.1",))


@pytest.fixture
def url(served: Pair, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "cert.pem").write_bytes(served.pem + served.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem")
    with serving(Notebook, context) as url:
        yield url


def console(fingerprint: str) -> str:
    return f"[    1.0] Linux\r\nnotebake: token {TOKEN}\r\nnotebake: certificate SHA256 {fingerprint}\r\n"


def nothing_left() -> None:
    assert list((paths.state_folder() / "machines").glob("*")) == []


def test_it_is_pinned_from_its_console_and_never_controlled(run: Run, url: str, served: Pair) -> None:
    log = console(served.fingerprint)
    code, out, err = run("adopt", "lab", "--address", url, "--console", "-", stdin=log)
    assert code == 0, err
    assert f"{url}/" in out and served.fingerprint in out and TOKEN in out
    (row,) = json.loads(run("ps", "--json")[1])
    assert (row["state"], row["platform"]) == ("running", "adopted")
    assert "certificate SHA256" in run("logs", "lab")[1]
    for words in (("stop", "lab"), ("start", "lab"), ("restart", "lab")):
        code, _, err = run(*words)
        assert code == 2 and "lab: was launched by other means" in err
    code, _, err = run("adopt", "lab", "--address", url, "--console", "-", stdin=log)
    assert code == 2 and "a machine lab exists" in err
    code, out, err = run("probe", "lab", "--check", "tls", "--json")
    assert [each["status"] for each in json.loads(out)["results"]] == ["passed"], (out, err)
    assert run("delete", "--yes", "lab")[0] == 0
    nothing_left()


def test_one_that_is_away_is_unreachable(run: Run, served: Pair, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "cert.pem").write_bytes(served.pem + served.key_pem)
    context.load_cert_chain(tmp_path / "cert.pem")
    with serving(Notebook, context) as url:
        assert (
            run("adopt", "lab", "--address", url, "--console", "-", stdin=console(served.fingerprint))[0] == 0
        )
    assert json.loads(run("ps", "--json")[1])[0]["state"] == "unreachable"
    assert run("delete", "--yes", "lab")[0] == 0


def test_the_wrong_machine_is_refused(run: Run, url: str, served: Pair) -> None:
    other = ":".join(["AB"] * 32)
    code, _, err = run("adopt", "lab", "--address", url, "--console", "-", stdin=console(other))
    assert code == 6 and f"its certificate is {served.fingerprint}, the console names {other}" in err
    code, _, err = run("adopt", "lab", "--address", url, "--console", "-", stdin="Linux\n")
    assert code == 2 and "no line `notebake: certificate SHA256 ...`" in err
    code, _, err = run("adopt", "lab", "--address", "http://x/", "--console", "-", stdin=console(other))
    assert code == 2 and "only https is supported" in err
    code, _, err = run("adopt", "Lab!", "--address", url, "--console", "-", stdin=console(served.fingerprint))
    assert code == 2 and "is not a machine's name" in err
    nothing_left()


def test_one_that_never_answers_is_refused(run: Run) -> None:
    code, _, err = run(
        "adopt", "lab", "--address", "127.77.0.2:9", "--console", "-", stdin=console(":".join(["AB"] * 32))
    )
    assert code == 5 and "127.77.0.2:9: does not answer" in err
