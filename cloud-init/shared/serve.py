"""Run the notebook server. It starts before the certificate exists, and waits for it before it listens.

Importing and configuring Jupyter takes most of the start: it is done while the network comes up.
"""

import os
import socket
import sys
import time

# This import takes two thirds of the time of all imports: it builds a parser of the RFC 3987 grammar.
# Without it jsonschema does not check "iri" formats, and Jupyter's schemas have none.
sys.modules["rfc3987_syntax"] = None

from jupyter_server.serverapp import ServerApp  # noqa: E402
from notebook.app import JupyterNotebookApp  # noqa: E402
from paths import READY  # noqa: E402
from traitlets.config import Config  # noqa: E402


def wait_for(path):
    """Wait until `path` exists."""
    while not path.exists():
        time.sleep(0.1)


class Server(ServerApp):
    """Jupyter's server. It waits for the certificate just before it listens."""

    def init_httpserver(self):
        wait_for(READY)
        super().init_httpserver()


def notify(address, state):
    """Send `state` to systemd's socket (sd_notify(3)), if there is one."""
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.send(state.encode())


def main(config, settings, server_class=Server, notify_socket=None):
    """Serve until the end. `settings`: Jupyter's, beside those of its files."""
    if config.get("proxy_for_users"):
        # Programs differ in which form they read.
        os.environ.update(
            {form(name): value for name, value in config["proxy"].items() for form in (str, str.upper)}
        )
    JupyterNotebookApp.serverapp_class = server_class
    server = JupyterNotebookApp.initialize_server(argv=[], config=Config(settings))
    # The loop's first callback listens; this is the second one.
    server.io_loop.add_callback(notify, notify_socket, "READY=1")
    server.start()
