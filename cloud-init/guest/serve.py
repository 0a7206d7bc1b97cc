"""The notebook server: imports first, then waits for the certificate, then listens and says so.

The imports are most of the start; done while the network comes up they cost no time.
"""

import os
import socket
import time
from pathlib import Path

from notebook.app import JupyterNotebookApp

READY = Path("/run/notebake/certificate")
TOKEN = Path("/var/lib/notebake/token")


def notify(state):
    """Tell systemd (sd_notify(3)); nothing when started by hand."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.send(state.encode())


def main():
    while not READY.exists():
        time.sleep(0.1)
    if TOKEN.exists():
        os.environ["JUPYTER_TOKEN_FILE"] = str(TOKEN)
    server = JupyterNotebookApp.initialize_server(argv=[])
    # The server listens from its loop's first callback on; this one comes right after it.
    server.io_loop.add_callback(notify, "READY=1")
    server.start()


if __name__ == "__main__":
    main()
