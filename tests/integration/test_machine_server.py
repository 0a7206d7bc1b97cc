"""The server as a machine runs it: it starts as root in /opt/notebake, in a mount namespace of its own."""

from __future__ import annotations

import concurrent.futures
import datetime
import hashlib
import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tenacity
from tests.integration.jupyter_servers import PASSWORD, JupyterServers, certificate, wait_until

from notebake import paths, process
from notebake.address import Address
from notebake.plan.password import password_hash
from notebake.probe import connection
from notebake.probe.context import Context
from notebake.probe.subject import Subject, plain_fingerprint

USER, UID = "nbuser", 2000
# /etc is a copy with one more user; the other folders are the machine's alone.
NAMESPACE = """\
cp -a /etc "$1/etc"
echo "nbuser:x:2000:2000::$1/home:/bin/bash" >>"$1/etc/passwd"
echo "nbuser:x:2000:" >>"$1/etc/group"
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /opt
mkdir -p /opt/notebake/env
mount --bind "$2" /opt/notebake/env
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mount --bind "$1/state" "$(mkdir -p /var/lib/notebake; echo /var/lib/notebake)"
mount -t tmpfs -o mode=0755 tmpfs /run
mount --bind "$1/run" "$(mkdir -p /run/notebake; echo /run/notebake)"
cp -a "$1/guest" /opt/notebake/guest
mkdir -p /opt/notebake/matplotlib /etc/ssh
chown 2000:2000 /opt/notebake/matplotlib
cd /opt/notebake
OPENSSL_CONF=/opt/notebake/guest/openssl.cnf
export OPENSSL_CONF
/opt/notebake/env/bin/python -c 'import json, sys
sys.path.insert(0, "/opt/notebake/guest")
import jupyter_files, preload
config = json.load(open("/opt/notebake/guest/config.json"))
jupyter_files.profile(config)
preload.step(config)'
exec setpriv --no-new-privs --bounding-set -all,+setuid,+setgid --inh-caps -all \\
  /opt/notebake/env/bin/python /opt/notebake/guest/server.py
"""


@dataclass
class Server:
    """A server, its folder on the host, and the subject of a probe."""

    folder: Path
    child: subprocess.Popen[bytes]
    subject: Subject
    root_file: Path

    def context(self) -> Context:
        return Context(subject=self.subject, now=datetime.datetime.now(datetime.UTC))


def make(folder: Path, env: Path, *, own_certificate: bool = False) -> Server:
    """Start a server whose user put links into its home before."""
    folder.chmod(0o755)
    for name in ("state", "run", "home", "guest"):
        (folder / name).mkdir(mode=0o700 if name == "guest" else 0o755)
    (folder / "state/tls").mkdir()
    root = paths.data_folder("cloud-init")
    for part in ("linux", "shared", "preload"):
        shutil.copytree(root / part, folder / "guest", dirs_exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "user": USER, "folder": "notebooks", "port": port, "profile": "nbserver", "pylab": "none",
        "password": password_hash(PASSWORD, salt=b"sixteen bytes!!!"), "own_certificate": own_certificate,
        "proxy": {}, "names": [], "cull_idle_timeout": 0, "kernel_prefix": [],
        "preload": {"encoded": [], "fetched": []},
    }  # fmt: skip
    (folder / "guest/config.json").write_text(json.dumps(config))
    (folder / "guest/config.json").chmod(0o600)
    (folder / "guest/notebooks").mkdir()
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "a plain notebook"}
    first = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "guest/notebooks/first.ipynb").write_text(json.dumps(first))
    fingerprint = certificate(folder / "state/tls")
    (folder / "state/tls/key.pem").chmod(0o600)
    (folder / "run/certificate").write_text(fingerprint)
    target = folder / "root-file"
    target.write_text("root's")
    target.chmod(0o600)
    attack(folder / "home", target)
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", NAMESPACE, "sh", folder, env],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=process.environment(), start_new_session=True,
        )  # fmt: skip
    subject = Subject(
        address=Address(host="127.0.0.1", port=port), password=PASSWORD, fingerprint=fingerprint,
        own_certificate=False, metadata=True,
    )  # fmt: skip
    return Server(folder=folder, child=child, subject=subject, root_file=target)


def attack(home: Path, target: Path) -> None:
    """What a cell does before set-up is repeated: links in the home to a file of root."""
    profile = home / ".ipython/profile_nbserver"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py.new").symlink_to(target)
    (home / "notebooks").mkdir()
    (home / "notebooks/first.ipynb.new").symlink_to(target)
    # Code that the server must not run: it could read the key.
    for folder in (".jupyter", ".local/share/jupyter/nbconvert/templates/lab"):
        (home / folder).mkdir(parents=True)
    evil = f"open({str(home / 'evil')!r}, 'a').write('run')\n"
    (home / ".jupyter/jupyter_server_config.py").write_text(evil)
    (home / ".jupyter/jupyter_notebook_config.py").write_text(evil)
    template = "{{ cycler.__init__.__globals__.os.system('touch " + str(home / "evil") + "') }}"
    for name in ("index.html.j2", "conf.json"):
        text = template if name.endswith("j2") else '{"base_template": "base"}'
        (home / ".local/share/jupyter/nbconvert/templates/lab" / name).write_text(text)
    process.run(["chown", "-hR", f"{UID}:{UID}", home], timeout=60)


def end(server: Server) -> None:
    server.child.send_signal(signal.SIGTERM)
    try:
        server.child.wait(60)
    except subprocess.TimeoutExpired:
        process.kill_session(server.child.pid)
        server.child.wait()


@pytest.fixture(scope="module")
def server(jupyter: JupyterServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = jupyter.root / "machine"
    folder.mkdir()
    made = make(folder, jupyter.root / "env", own_certificate=True)
    try:
        wait_until(lambda: answers(made), f"no server: {folder / 'log'}", 300)
        yield made
    finally:
        end(made)


def answers(server: Server) -> bool:
    assert server.child.poll() is None, (server.folder / "log").read_text()
    try:
        connection.shake_hands(server.subject.address, seconds=20)
    except Exception:
        return False
    return True


READ = """
import json, os
found = {}
for name, path in PATHS.items():
    try:
        with open(path, "rb") as file:
            found[name] = len(file.read(10))
    except OSError as error:
        found[name] = type(error).__name__
try:
    found["fd"] = os.listdir(f"/proc/{os.getppid()}/fd")
except OSError as error:
    found["fd"] = type(error).__name__
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
found["ptrace"] = libc.ptrace(16, os.getppid(), 0, 0)
lines = [line.split(":") for line in open(f"/proc/{os.getppid()}/status")]
found["status"] = {name: value.split() for name, value in lines}
found["environment"] = dict(os.environ)
found["sudo"] = os.system("sudo -n true 2>/dev/null")
print(json.dumps(found))
"""


def test_a_kernel_reads_no_secret_and_cannot_trace_the_server(server: Server) -> None:
    context = server.context()
    files = {
        "key": "/var/lib/notebake/tls/key.pem",
        "hash": "/opt/notebake/guest/config.json",
        "cookies": "/var/lib/notebake/cookies",
        **{name: f"/proc/{{}}/{name}" for name in ("environ", "mem", "maps")},
    }
    listed = ", ".join(
        f"{name!r}: {path!r}.format(__import__('os').getppid())" for name, path in files.items()
    )
    code = f"PATHS = {{{listed}}}\n{READ}"
    outcome = context.kernel().execute(code, seconds=180)
    assert not outcome.error, outcome
    found = json.loads(outcome.text)
    context.leave()
    assert {found[name] for name in files} == {"PermissionError"}, found
    assert found["fd"] == "PermissionError" and found["ptrace"] == -1 and found["sudo"] != 0
    status = found["status"]
    assert status["Uid"] == status["Gid"] == [str(UID)] * 4 and status["NoNewPrivs"] == ["1"]
    assert status["Groups"] in ([], [str(UID)])
    assert {status[name][0] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    environment = found["environment"]
    assert environment["USER"] == USER and environment["HOME"] == str(server.folder / "home")
    assert not {"OPENSSL_CONF", "NOTIFY_SOCKET"} & set(environment)
    assert environment["JUPYTER_CONFIG_DIR"] == environment["JUPYTER_DATA_DIR"] == ""
    assert PASSWORD not in json.dumps(environment) and "argon2" not in json.dumps(environment)
    settings = json.loads((server.folder / "etc/jupyter/jupyter_server_config.json").read_text())
    assert "argon2:" not in json.dumps(settings)


def test_the_server_runs_no_code_and_no_template_of_the_home(server: Server) -> None:
    session = server.context().session()
    path = f"/nbconvert/html/first.ipynb?_xsrf={session.cookies['_xsrf']}"
    page = session.request("GET", path, seconds=180)
    assert page.status == 200 and b"a plain notebook" in page.body, page
    assert not (server.folder / "home/evil").exists()


def test_root_follows_no_link_of_the_user(server: Server) -> None:
    home = server.folder / "home"
    status = server.root_file.stat()
    assert (status.st_uid, status.st_mode & 0o777, server.root_file.read_text()) == (0, 0o600, "root's")
    for name in (".ipython/profile_nbserver/ipython_kernel_config.py", "notebooks/first.ipynb"):
        assert not (home / name).is_symlink() and (home / name).stat().st_uid == UID


def test_a_renewed_certificate_is_served_without_a_restart(server: Server, tmp_path: Path) -> None:
    tls = server.folder / "state/tls"
    before = {path: path.read_bytes() for path in tls.iterdir()}

    def serve(made: Path, fingerprint: str) -> None:
        for name in ("key.pem", "cert.pem"):
            (made / name).replace(tls / name)
        plain = plain_fingerprint(fingerprint)
        wait_until(lambda: served(server) == plain, "the new certificate is not served", 180)

    old = served(server)
    try:
        serve(tmp_path, certificate(tmp_path))
        assert served(server) != old
    finally:
        for path, data in before.items():
            (tmp_path / path.name).write_bytes(data)
        serve(tmp_path, old)


def served(server: Server) -> str:
    """Return the SHA-256 of the certificate of a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (server.subject.address.host, server.subject.address.port)
    with (
        socket.create_connection(address, 60) as plain,
        context.wrap_socket(plain) as connected,
    ):
        return hashlib.sha256(connected.getpeercert(True) or b"").hexdigest()


def test_every_cookie_is_secure_and_an_own_certificate_has_hsts(server: Server) -> None:
    session = server.context().session()
    right = session.credentials()["Cookie"]
    names = [name for name in session.cookies if name != "_xsrf"]
    responses = [
        ask(server, "GET", "/login", {}),
        ask(server, "GET", "/tree", {"Cookie": f"{names[0]}=wrong"}),
        ask(server, "GET", "/logout", {"Cookie": right}),
    ]
    cookies = [cookie for headers in responses for cookie in headers.get_all("Set-Cookie") or ()]
    assert len(cookies) >= 3 and all("; secure" in cookie.lower() for cookie in cookies), cookies
    assert {headers["Strict-Transport-Security"] for headers in responses} == {"max-age=31536000"}


def ask(server: Server, method: str, path: str, headers: dict[str, str]) -> http.client.HTTPMessage:
    """Return the headers of a response."""
    address, context = server.subject.address, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = http.client.HTTPSConnection(address.host, address.port, timeout=180, context=context)
    client.request(method, path, headers=headers)
    response = client.getresponse()
    response.read()
    client.close()
    return response.headers


def test_failed_log_ins_wait_longer_and_do_not_hold_up_the_server(server: Server) -> None:
    """The last test: this address must wait afterwards."""
    guess = server.context().anonymous()
    statuses = [guess.log_in(f"guess {number}", seconds=180).status for number in range(5)]
    assert statuses == [401] * 5
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        many = list(pool.map(lambda number: guess.log_in(f"guess {number}", seconds=180), range(16)))
    refused = [response for response in many if response.status == 429]
    assert len(refused) >= 14 and all(int(response.headers["Retry-After"]) >= 1 for response in refused)
    assert b"Too many failed log-ins" in refused[0].body
    right = server.context().anonymous().log_in(PASSWORD, seconds=180)
    assert right.status == 429, "the right password has to wait too, or guessing would go on"

    def log_in() -> None:
        assert server.context().anonymous().log_in(PASSWORD, seconds=180).status == 302

    for attempt in tenacity.Retrying(
        wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(180), reraise=True
    ):
        with attempt:
            log_in()
