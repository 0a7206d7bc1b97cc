"""Start the server: read as root what only root may read, then become the notebook's user for good.

A process that gave up root cannot be traced, and its /proc/PID/mem, environ and fd cannot be read, by
processes of the user that it became: the kernels. A small process stays root, and sends key and certificate
now and after each change. Jupyter's settings, extensions and templates come from root's folders alone: they
run in the process that has the key.
"""

import ctypes
import hmac
import json
import os
import pwd
import secrets
import select
import socket
import ssl

from jupyter_files import SERVER_ONLY
from machine import write
from paths import GUEST, HOME, READY, STATE, TOKEN

COOKIES = STATE / "cookies"
PR_SET_DUMPABLE = 4
OF_SYSTEMD = ("NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "OPENSSL_CONF")


def send_pairs(channel):
    """Send key and certificate (PEM) once READY exists, and after each change, until the server ends."""
    sent, tls = None, STATE / "tls"
    while not select.select([channel], [], [], 1 if sent else 0.1)[0]:
        try:
            # It is written after the key.
            written = (tls / "cert.pem").stat().st_mtime_ns
            if READY.exists() and written != sent:
                channel.send((tls / "key.pem").read_bytes() + (tls / "cert.pem").read_bytes())
                sent = written
        except FileNotFoundError:
            pass


def pairs():
    """Start the process that sends the pairs; return the end of its channel that receives them."""
    server, root = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        server.close()
        try:
            send_pairs(root)
        finally:
            os._exit(0)
    root.close()
    return server


def load(tls, channel):
    """Receive a pair, which new connections then use."""
    pair = channel.recv(1 << 17)
    if not pair:
        raise SystemExit("the process that reads the key has ended")
    with open(os.memfd_create("pair"), "wb") as file:
        file.write(pair)
        file.flush()
        tls.load_cert_chain(f"/proc/self/fd/{file.fileno()}")


def become(account):
    """Give up root; the environment becomes the user's. Return Jupyter's settings that depend on it."""
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    # Whatever fs.suid_dumpable is.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in OF_SYSTEMD:
        os.environ.pop(name, None)
    home, name = account.pw_dir, account.pw_name
    os.environ.update(HOME=home, USER=name, LOGNAME=name, SHELL=account.pw_shell)
    os.environ["MPLCONFIGDIR"] = str(HOME / "matplotlib")
    data = f"{home}/.local/share/jupyter"
    places = [f"{data}/runtime", "/etc/jupyter", str(HOME / "env/share/jupyter")]
    places += [f"{home}/.jupyter/lab/user-settings", f"{home}/.jupyter/lab/workspaces"]
    os.environ.update(zip(SERVER_ONLY, places, strict=True))
    shell = ["/usr/bin/env", *(f"-u{name}" for name in SERVER_ONLY), account.pw_shell, "-l"]
    return {
        "NotebookNotary": {"data_dir": data},
        "ServerApp": {"terminado_settings": {"shell_command": shell}},
    }


def main():
    config = json.loads((GUEST / "config.json").read_text())
    channel, notify = pairs(), os.environ.get("NOTIFY_SOCKET")
    import kernels  # noqa: F401  the user may not read this folder
    import serve
    from login import Provider

    identity = {"hashed_password": config["password"]}
    if not config["password"]:
        serve.wait_for(TOKEN)
        identity = {"token": TOKEN.read_text()}
    if not COOKIES.exists():
        write(COOKIES, secrets.token_bytes(32), 0o600)
    # With another password or token, no cookie is good any more.
    cookie_secret = hmac.digest(COOKIES.read_bytes(), json.dumps(identity).encode(), "sha256")
    settings = become(pwd.getpwnam(config["user"]))
    settings["PasswordIdentityProvider"] = identity
    settings["ServerApp"] |= {"cookie_secret": cookie_secret, "identity_provider_class": Provider}
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    class Server(serve.Server):
        def init_httpserver(self):
            load(tls, channel)  # waits for the certificate
            super().init_httpserver()
            tls.set_ciphers(self.ssl_options["ciphers"])
            self.http_server.ssl_options = tls
            self.io_loop.add_handler(channel, lambda *_: load(tls, channel), self.io_loop.READ)

    serve.main(config, settings, Server, notify)


if __name__ == "__main__":
    main()
