"""A stand-in for QEMU with a Windows in it: Packer starts this program as `qemu-system-x86_64`.

It speaks VNC (to be typed at) and WinRM (SOAP over HTTPS, Basic authentication), as RFC 6143 and MS-WSMV
describe them, and has the file system that Packer's communicator writes by commands. It runs no PowerShell:
it knows our scripts by their text, and does what each does to a machine: restarts, ends log-ins, closes the
listener, shuts down.

Usage: windows_machine.py FOLDER QEMU-ARGUMENTS. FOLDER/faults.json has the faults. FOLDER/events.jsonl is
written: what happened, one JSON list a line.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import itertools
import json
import os
import re
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

FOLDER = Path(__file__).parents[2] / "images/_shared/windows"
SCRIPTS = {file.read_text().strip(): file.stem for file in (FOLDER / "scripts").glob("*.ps1")}
# Files of the build that a script reads.
NAMED = re.compile(r"[\w-]+\.(?:json|conf|xml|tar\.gz)\b")
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TEMP = "C:/Windows/Temp/notebake/"
# The fault that a receive without output gets after its OperationTimeout (MS-WSMV 3.1.4.14).
TIMED_OUT = 2150858793


class Machine:
    """The state of the machine, its files and its accounts."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder, self.faults = folder, json.loads((folder / "faults.json").read_text())
        options = [f"{option} {value}" for option, value in itertools.pairwise(arguments)]
        text = "\n".join(options)
        self.port = int(re.search(r"hostfwd=tcp:[\d.]*:(\d+)-:5986", text)[1])  # type: ignore[index]
        self.vnc = 5900 + int(re.search(r"-vnc [\d.]+:(\d+)", text)[1])  # type: ignore[index]
        self.console = Path(re.search(r"-serial file:(.+)", text)[1])  # type: ignore[index]
        self.answer = answer_cd(re.findall(r"file=([^,]+),.*media=cdrom", text))
        self.password = ElementTree.fromstring(self.answer["/Autounattend.xml"]).findtext(
            ".//{*}AdministratorPassword/{*}Value"
        )
        self.event("machine", sorted(set(re.findall(r"-device ([\w-]+)", text))), sorted(self.answer))
        self.files: dict[str, bytes] = {}
        self.commands: dict[str, Command] = {}
        self.updates = 0
        self.may_log_in = True
        self.server: Server | None = None

    def event(self, *what: Any) -> None:
        with open(self.folder / "events.jsonl", "a") as file:
            file.write(json.dumps(what) + "\n")

    def print(self, text: str) -> None:
        with open(self.console, "a") as file:
            file.write(f"notebake: {text}\n")

    def listen(self) -> None:
        self.server = Server(self)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def hang_up(self) -> None:
        """Close the listener and every connection."""
        if self.server is not None:
            self.server.hang_up()
            self.server = None

    def restart(self) -> None:
        self.event("restart")
        self.hang_up()
        threading.Timer(1.0, self.listen).start()

    def generalize(self) -> None:
        """Sysprep's effect on the built-in Administrator: every request gets 401."""
        self.event("generalized")
        self.may_log_in = False

    def shut_down(self) -> None:
        self.event("shutdown")
        os._exit(0)


def answer_cd(paths: list[str]) -> dict[str, bytes]:
    """Return the files of the CD that has the label NOTEBAKE: path -> content."""
    for path in paths:
        with tempfile.TemporaryDirectory() as name:
            done = subprocess.run(
                ["xorriso", "-osirrox", "on", "-indev", path, "-extract", "/", name],
                capture_output=True,
                check=True,
            )
            if b"'NOTEBAKE'" in done.stderr:
                return {
                    "/" + file.relative_to(name).as_posix(): file.read_bytes()
                    for file in Path(name).rglob("*") if file.is_file()
                }  # fmt: skip
    raise SystemExit("no CD with the label NOTEBAKE")


def path(text: str) -> str:
    """Return a Windows path in one form: with slashes, without quotes, the drive in upper case."""
    text = text.strip("'\"").replace("\\", "/")
    return text[:1].upper() + text[1:]


class Command:
    """A command that runs: what it has printed, and its exit code once it has ended."""

    def __init__(self, machine: Machine, text: str) -> None:
        self.machine, self.output, self.code = machine, b"", 0
        # How often a Receive finds nothing, as on a slow machine; what happens instead of an answer.
        self.silent = 0
        self.instead: Callable[[], None] | None = None
        encoded = re.search(r"(?i)-encodedcommand ([A-Za-z0-9+/=]+)", text)
        self.run(base64.b64decode(encoded[1]).decode("utf-16-le") if encoded else text)

    def run(self, text: str) -> None:
        files = self.machine.files
        if match := re.fullmatch(r'echo ([A-Za-z0-9+/=]+) >> "%TEMP%\\(.+)"', text):
            files[match[2]] = files.get(match[2], b"") + base64.b64decode(match[1])
        elif match := re.search(r'GetFullPath\("\$env:TEMP\\(.+?)"\).+?GetFullPath\("(.+?)"', text, re.S):
            self.upload(path(match[2]), files.pop(match[1], b""))
        elif re.search(r"if \(Test-Path \$tmp_file_path\) \{\s+Remove-Item", text):
            pass
        elif match := re.search(r"&'(C:/Windows/Temp/script-[\w-]+\.ps1)'", text, re.I):
            variables = re.search(r"\. (C:/Windows/Temp/packer-ps-env-vars-[\w-]+\.ps1);", text, re.I)
            self.provision(files[path(match[1])], files[path(variables[1])] if variables else b"")
        elif 'echo "WinRM connected."' in text:
            self.output = b"WinRM connected.\r\n"
        elif match := re.search(r"&'C:/Windows/Temp/packer-cleanup-", text, re.I):
            pass
        elif match := re.fullmatch(r"cmd\.exe /c if exist (\S+) (shutdown\.exe /r .*)", text):
            if path(match[1]) in files:
                self.run(match[2])
        elif re.match(r"shutdown(\.exe)? /r /f /t (0|5)\b", text):
            threading.Timer(0.2, self.machine.restart).start()
        elif re.match(r"shutdown /r /f /t 60 |shutdown /a", text):
            pass
        elif "restarted." in text:
            self.output = b"WIN-1 restarted.\r\n"
        elif match := re.search(r'\[IO.File\]::ReadAllBytes\("(.+?)"\)|ReadAllBytes\(.*?"(.+?)"', text):
            self.output = base64.b64encode(files[path(match[1] or match[2])])
            self.machine.event("download", path(match[1] or match[2]).removeprefix(TEMP))
        elif match := re.fullmatch(
            r"powershell\.exe .* -File C:/Windows/Temp/notebake/finish\.ps1 -Builder (\S+)", text
        ):
            self.finish(match[1])
        elif re.search(r"-File C:/Windows/Temp/notebake/close\.ps1", text):
            self.instead = self.machine.hang_up
        else:
            self.machine.event("unknown", text)
            self.code = 1

    def provision(self, script: bytes, variables: bytes) -> None:
        """Do what a script does to a machine."""
        text = script.decode()
        environment = dict(re.findall(r'\$env:(\w+)="(.*?)"; ', variables.decode()))
        name = SCRIPTS.get(text.strip(), text.strip())
        self.machine.event("run", name, {key: environment[key] for key in environment if "NOTEBAKE" in key})
        missing = [name for name in set(NAMED.findall(text)) if TEMP + name not in self.machine.files]
        if missing and name != "report":
            self.fail(f"{name}: no such file: {missing}")
        elif name == "install":
            self.install(environment)
        elif name == "updates":
            self.update()
        elif name == "report":
            self.machine.files[TEMP + "software.json"] = (self.machine.folder / "software.json").read_bytes()
        elif name == "sysprep":
            self.machine.generalize()

    def fail(self, text: str) -> None:
        self.output, self.code = f"{text}\r\n".encode(), 1

    def install(self, environment: dict[str, str]) -> None:
        """Fetch the lock's wheels with the real pip, as the machine does, from Packer's own web server."""
        if not environment["NOTEBAKE_SERVE_WHEELS"]:
            return
        address = environment.get("PACKER_HTTP_ADDR", "")
        if not re.search(r"^10\.0\.2\.2:[1-9]\d*$", address):
            self.fail(f"Packer serves no wheels: its address is '{address}'")
            return
        with tempfile.TemporaryDirectory() as name:
            with tarfile.open(fileobj=io.BytesIO(self.machine.files[TEMP + "guest.tar.gz"])) as tar:
                tar.extractall(name, filter="data")
            digest = Path(name, "digest").read_text().strip()
            argv = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-index",
            ]
            argv += [
                "--find-links",
                f"http://127.0.0.1:{address.split(':')[1]}",
                "--no-deps",
                "--require-hashes",
            ]
            argv += ["--only-binary", ":all:", "--platform", "win_amd64", "--python-version", "3.13"]
            argv += ["--implementation", "cp", "--abi", "cp313", "--abi", "abi3", "--abi", "none"]
            argv += ["-d", f"{name}/wheels", "-r", f"{name}/requirements.txt"]
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            wheels = {
                hashlib.sha256(file.read_bytes()).hexdigest() for file in Path(name, "wheels").glob("*.whl")
            }
            self.output, self.code = done.stdout, done.returncode
            self.machine.event("installed", digest, sorted(wheels))

    def update(self) -> None:
        """In the first call Windows restarts by itself, in the second one it installs, then all is done."""
        self.machine.updates += 1
        self.silent = 2
        self.machine.files.pop(TEMP + "restart", None)
        if self.machine.updates == 1:
            self.instead = self.machine.restart
        elif self.machine.updates == 2:
            self.machine.files[TEMP + "restart"] = b""
            self.output = b"notebake: updates done: 3 installed\r\n"

    def finish(self, builder: str) -> None:
        """What the task of SYSTEM does after the command has returned."""
        scripts = [
            self.machine.files.get(f"{TEMP}{name}.ps1") for name in ("finish", "seal", "sysprep", "close")
        ]
        if None in scripts:
            self.fail("a script is missing")
            return
        self.machine.event("finish", builder)

        def work() -> None:
            self.machine.generalize()
            if self.machine.faults.get("sysprep"):
                self.machine.print("the image is not sealed: sysprep: a package was installed for a user")
                return
            self.machine.hang_up()
            self.machine.event("closed")
            self.machine.print("sealed")
            self.machine.shut_down()

        threading.Timer(1.0, work).start()

    def upload(self, name: str, content: bytes) -> None:
        self.machine.files[name] = content
        if name.startswith(TEMP):
            self.machine.event("upload", name.removeprefix(TEMP))


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """WinRM's listener on HTTPS."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", machine.port), Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(machine.folder / "cert.pem", machine.folder / "key.pem")

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, address = self.socket.accept()
        wrapped = self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.open.add(wrapped)
        return wrapped, address

    def hang_up(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection to the listener."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        """Nothing: Packer prints what this program prints."""

    def do_POST(self) -> None:
        machine = self.server.machine
        request = ElementTree.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
        expected = base64.b64encode(f"Administrator:{machine.password}".encode()).decode()
        if not machine.may_log_in or self.headers["Authorization"] != f"Basic {expected}":
            self.answer(401, "")
            return
        action = (request.findtext(".//{*}Action") or "").rsplit("/", 1)[1]
        command = request.find(".//*[@CommandId]")
        body = ""
        if action == "Create":
            body = f'<w:SelectorSet><w:Selector Name="ShellId">{uuid.uuid4()}</w:Selector></w:SelectorSet>'
        elif action == "Command":
            words = [request.findtext(f".//{{{SHELL}}}Command") or ""]
            words += [element.text or "" for element in request.iter(f"{{{SHELL}}}Arguments")]
            number = str(uuid.uuid4())
            machine.commands[number] = Command(machine, " ".join(words))
            body = f"<rsp:CommandResponse><rsp:CommandId>{number}</rsp:CommandId></rsp:CommandResponse>"
        elif action == "Receive" and command is not None:
            number = command.attrib["CommandId"]
            running = machine.commands[number]
            if running.silent:
                running.silent -= 1
                self.fault(TIMED_OUT)
                return
            if running.instead is not None:
                running.instead()
                return
            stream = base64.b64encode(running.output).decode()
            body = (
                f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="{number}">{stream}</rsp:Stream>'
                f'<rsp:CommandState CommandId="{number}" State="{SHELL}/CommandState/Done">'
                f"<rsp:ExitCode>{running.code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
            )
        self.answer(200, body)

    def fault(self, code: int) -> None:
        self.answer(
            500,
            "<s:Fault><s:Code><s:Value>s:Receiver</s:Value>"
            "<s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code><s:Detail>"
            f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}"/>'
            "</s:Detail></s:Fault>",
        )

    def answer(self, status: int, body: str) -> None:
        content = (
            '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
            'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
            f'xmlns:rsp="{SHELL}"><s:Header/><s:Body>{body}</s:Body></s:Envelope>'
        ).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="WSMAN"')
        self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def be_typed_at(machine: Machine) -> None:
    """Be a VNC server (RFC 6143) without security until the client leaves; count presses of Enter."""
    with socket.create_server(("127.0.0.1", machine.vnc)) as listener:
        client, _ = listener.accept()
    stream = client.makefile("rb")
    client.sendall(b"RFB 003.008\n")
    stream.read(12)
    client.sendall(b"\1\1")
    stream.read(1)
    client.sendall(bytes(4))
    stream.read(1)
    pixels = struct.pack(">4B3H3B3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
    client.sendall(struct.pack(">2H", 640, 480) + pixels + struct.pack(">I", 4) + b"QEMU")
    presses = 0
    # Client message -> bytes that follow its type, except of SetEncodings.
    sizes = {0: 19, 3: 9, 4: 7, 5: 5}
    while kind := stream.read(1):
        if kind[0] == 2:
            stream.read(4 * int.from_bytes(stream.read(3)[1:], "big"))
            continue
        message = stream.read(sizes[kind[0]])
        if kind[0] == 4 and message[0] and message[3:] == b"\0\0\xff\x0d":
            presses += 1
    machine.event("pressed", presses)


def main(folder: Path, arguments: list[str]) -> None:
    if arguments[0] in ("-version", "--version"):
        print("QEMU emulator version 10.0.0")
        return
    machine = Machine(folder, arguments)
    be_typed_at(machine)
    machine.print("Windows is installed")
    machine.listen()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
