"""The only server of a closed network: a Python index of a wheelhouse, and the shapes' repositories."""

from __future__ import annotations

import functools
import hashlib
import html
import http.server
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.e2e.shapes import Made

# From TEST-NET-2 (RFC 5737), on the host's loopback: machines reach it through their bridge. Each test
# process has another address.
ADDRESS = f"198.51.100.{os.getpid() % 254 + 1}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass


class PackageServer:
    """Serves `folder`/simple (the index) and `folder`/SHAPE. `down` and `up` simulate an outage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
        self.up()

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    def serve(self, made: Made) -> None:
        """Serve a shape's repository, and its wheels as a simple index (PEP 503)."""
        (self.folder / made.name).symlink_to(made.repository)
        if (self.folder / "simple").exists():
            return
        for wheel in sorted(made.wheelhouse.glob("*.whl")):
            project = re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
            folder = self.folder / "simple" / project
            folder.mkdir(parents=True, exist_ok=True)
            (folder / wheel.name).symlink_to(wheel)
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            with (folder / "index.html").open("a") as page:
                name = html.escape(wheel.name)
                page.write(f'<a href="{name}#sha256={digest}">{name}</a><br>\n')

    def up(self) -> None:
        handler = functools.partial(_Handler, directory=str(self.folder))
        self._server = http.server.ThreadingHTTPServer((ADDRESS, self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.down()
        subprocess.run(["ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo"], check=True)
