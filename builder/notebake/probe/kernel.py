"""Start a kernel on the server, run code in it over its websocket, stop it.

The messages are Jupyter's messaging protocol 5.3 with JSON framing ("Messaging in Jupyter" in the
documentation of jupyter-client). The server uses this framing if the websocket requests no subprotocol.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import websocket

from notebake import documents
from notebake.errors import CheckFailed
from notebake.probe import connection
from notebake.probe.session import Session

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(kw_only=True)
class Outcome:
    """The output of one cell: text (stdout), pictures (PNG bytes), and an error (name, value)."""

    text: str = ""
    pictures: list[bytes] = field(default_factory=list)
    error: tuple[str, str] | None = None


def _message(code: str) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "session": uuid.uuid4().hex,
        "username": "notebake",
        "date": datetime.now(UTC).isoformat(),
        "msg_type": "execute_request",
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}


def _take(outcome: Outcome, kind: str, content: dict[str, Any]) -> None:
    if kind == "stream" and content.get("name") == "stdout":
        outcome.text += str(content.get("text", ""))
    elif kind in ("display_data", "execute_result"):
        data = content.get("data") or {}
        if "image/png" in data:
            try:
                outcome.pictures.append(base64.b64decode(data["image/png"]))
            except (binascii.Error, TypeError, ValueError):
                raise CheckFailed("the kernel's image/png is not base64") from None
    elif kind == "error":
        value = _COLOURS.sub("", str(content.get("evalue", "")))
        outcome.error = (str(content.get("ename", "error")), value)


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A running kernel."""

    session: Session
    id: str

    @classmethod
    def start(cls, session: Session, name: str, *, seconds: float) -> Kernel:
        """Start a kernel of the kernel spec `name` in the notebooks' folder. Raises CheckFailed, NotReady."""
        data = {"name": name, "path": ""}
        response = session.request("POST", "/api/kernels", seconds=seconds, data=data)
        if response.status != 201:
            raise CheckFailed(f"no kernel {name!r}: POST /api/kernels: status {response.status}")
        model = response.json("POST /api/kernels")
        if not isinstance(model, dict) or not _ID.fullmatch(str(model.get("id"))):
            raise CheckFailed("POST /api/kernels: the response has no kernel id")
        kernel = cls(session=session, id=str(model["id"]))
        if model.get("name") != name:
            kernel.stop(seconds=seconds)
            raise CheckFailed(f"requested the kernel {name!r}, got {model.get('name')!r}")
        return kernel

    def execute(self, code: str, *, seconds: float) -> Outcome:
        """Run one cell; wait for its reply and an idle kernel. Raises CheckFailed, NotReady."""
        address = self.session.address
        with connection.pinned(address, self.session.fingerprint, seconds=seconds) as tls:
            credentials = self.session.credentials()
            socket = websocket.WebSocket()
            socket.settimeout(seconds)
            socket.connect(  # type: ignore[no-untyped-call]
                f"wss://{address}{address.path}/api/kernels/{self.id}/channels?session_id={uuid.uuid4().hex}",
                socket=tls,
                host=address.authority,
                origin=f"https://{address.authority}",
                cookie=credentials.pop("Cookie", None),
                header=credentials,
                redirect_limit=0,
            )
            request = _message(code)
            socket.send(json.dumps(request))
            return _collect(socket, request["header"]["msg_id"])

    def stop(self, *, seconds: float) -> None:
        """Stop the kernel. Raises CheckFailed, NotReady."""
        response = self.session.request("DELETE", f"/api/kernels/{self.id}", seconds=seconds)
        if response.status not in (204, 404):
            raise CheckFailed(f"DELETE /api/kernels: status {response.status}")


def _collect(socket: websocket.WebSocket, msg_id: str) -> Outcome:
    outcome, replied, idle = Outcome(), False, False
    while not (replied and idle):
        frame = socket.recv()
        if frame == "":
            raise websocket.WebSocketConnectionClosedException("the websocket was closed")
        if isinstance(frame, bytes):
            continue
        message = documents.parse_json(frame.encode())
        kind, content = message.get("msg_type") or message["header"]["msg_type"], message["content"]
        state = content.get("execution_state") if kind == "status" else None
        # Without a parent: the server sends these states in place of the kernel.
        if state in ("dead", "restarting", "autorestarting"):
            raise CheckFailed(f"the kernel died ({state}) while the cell ran")
        if (message.get("parent_header") or {}).get("msg_id") != msg_id:
            continue
        if kind == "execute_reply":
            replied = True
        idle = idle or state == "idle"
        _take(outcome, kind, content)
    return outcome
