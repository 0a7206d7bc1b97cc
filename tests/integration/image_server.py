"""A project's web site with images, and what can go wrong while they are downloaded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.loopback import Quiet, serving

from notebake import process


@dataclass
class ImageServer:
    """Serves the files below `site`.

    `breaks`: how many bytes the next answers send before the connection ends. `codes`: the next answers are
    these errors instead. `asked`: each request's path and Range. `serving` is called before the bytes of a
    file are sent, which were read before. After `pause_after` bytes the server sets `paused` and waits.
    """

    site: Path
    url: str = ""
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    serving: Callable[[str], None] = lambda path: None
    pause_after: int | None = None
    paused: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def image_server(site: Path) -> Iterator[ImageServer]:
    """Serve the files below `site` in the block."""
    server = ImageServer(site=site)

    class Handler(Quiet):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            asked = self.headers["Range"]
            server.asked.append((self.path, asked))
            path = site / self.path.lstrip("/")
            if server.codes:
                self.send_error(server.codes.pop(0))
                return
            if path.is_dir():
                names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in path.iterdir())
                data = "".join(f'<a href="{name}">{name}</a>\n' for name in names).encode()
            elif path.is_file():
                data = path.read_bytes()
            else:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else 0
            if asked and server.ranges and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if asked and server.ranges else 200)
            if asked and server.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("Last-Modified", "Fri, 20 Nov 2026 10:00:00 GMT")
            self.end_headers()
            if not body:
                return
            data = data[start:]
            if server.pause_after is not None and len(data) > server.pause_after:
                self.wfile.write(data[: server.pause_after])
                server.paused.set()
                server.go_on.wait()
                return
            if server.breaks and len(data) > 1000:
                self.wfile.write(data[: server.breaks.pop(0)])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            server.serving(self.path)
            self.wfile.write(data)

    with serving(Handler) as server.url:
        try:
            yield server
        finally:
            server.go_on.set()


class Signer:
    """A key of the real gpg, that signs checksum lists. `home`: a folder with a short path."""

    def __init__(self, home: Path, folder: Path, *gpg: str) -> None:
        self.home, self._gpg = home, gpg
        self.gpg("--quick-generate-key", "project@example.test", "ed25519", "sign", "1d")
        listing = self.gpg("--with-colons", "--list-keys").decode()
        self.fingerprint = next(row.split(":")[9] for row in listing.splitlines() if row.startswith("fpr"))
        self.key = folder / f"{self.fingerprint.lower()}.gpg"
        self.gpg("--output", str(self.key), "--export")

    def gpg(self, *words: str) -> bytes:
        argv = ["gpg", "--quiet", "--batch", "--yes", "--passphrase", "", *self._gpg, *words]
        return process.run(argv, timeout=60, env={"GNUPGHOME": str(self.home)}).stdout

    def sign(self, sums: Path, text: str, suffix: str = ".gpg") -> None:
        """Write a checksum list and its signature."""
        sums.parent.mkdir(parents=True, exist_ok=True)
        sums.write_text(text)
        self.gpg("--detach-sign", "--output", f"{sums}{suffix}", str(sums))
