"""The notebook server: starts early, does all it can, waits for the certificate, listens and says so.

Imports and set-up are most of the start; done while the network comes up they cost no time.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path

# Two thirds of the imports' time: jsonschema takes it as missing, and checks no "iri" formats, of which
# Jupyter's schemas have none. It builds a parser of the whole RFC 3987 grammar when it is imported.
sys.modules["rfc3987_syntax"] = None

from jupyter_server.serverapp import ServerApp  # noqa: E402
from notebook.app import JupyterNotebookApp  # noqa: E402

GUEST = Path(__file__).resolve().parent
READY = Path("/run/notebake/certificate")
TOKEN = Path("/var/lib/notebake/token")


def wait_for(path):
    while not path.exists():
        time.sleep(0.1)


class Server(ServerApp):
    """Jupyter's server, which needs the certificate only when it is about to listen."""

    def init_httpserver(self):
        wait_for(READY)
        super().init_httpserver()


def notify(state):
    """Tell systemd (sd_notify(3)); nothing when started by hand."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.send(state.encode())


def main():
    if not json.loads((GUEST / "config.json").read_text())["password"]:
        wait_for(TOKEN)
        os.environ["JUPYTER_TOKEN_FILE"] = str(TOKEN)
    JupyterNotebookApp.serverapp_class = Server
    server = JupyterNotebookApp.initialize_server(argv=[])
    # The server listens from its loop's first callback on; this one comes right after it.
    server.io_loop.add_callback(notify, "READY=1")
    server.start()


if __name__ == "__main__":
    main()
