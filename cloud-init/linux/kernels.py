"""How the server starts kernels, and what it tells the page when one dies."""

import json
import signal
import sys
from pathlib import Path

import layer
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager


def killed_for_memory():
    """Return how many processes the kernel of the system has killed because memory was full."""
    return int(Path("/proc/vmstat").read_text().split("oom_kill ")[1].split()[0])


class Kernel(ServerKernelManager):
    """A kernel in the user's layer; in the locked environment where the layer cannot be made.

    `pending`: the headers of the cells that it has not finished, by their id. Not by what the kernel says it
    runs: one that exits at once does not say it.
    """

    def format_kernel_cmd(self, extra_arguments=None):
        command = super().format_kernel_cmd(extra_arguments)
        home = Path.home()
        self.kills, self.pending = killed_for_memory(), {}
        try:
            layer.ensure(home)
        except Exception as error:
            own = str(home / layer.FOLDER / "bin/python")
            self.log.error("%s", error)
            command = [sys.executable if word == own else word for word in command]
        return command

    def cause(self):
        """Return why the kernel's process ended, in words."""
        code = self.provisioner.process.returncode
        if code >= 0:
            return f"it exited with code {code}"
        if -code == signal.SIGKILL and killed_for_memory() > self.kills:
            return "the machine's memory is full, and the system killed it"
        return f"it was killed by {signal.Signals(-code).name}"


class Connection(ZMQChannelsWebsocketConnection):
    """A page's connection to a kernel: when the kernel dies, the cell that ran says why."""

    def handle_incoming_message(self, incoming_msg):
        if self.subprotocol:  # as pages have it
            _, (header, *_) = deserialize_msg_from_ws_v1(incoming_msg)
            header = json.loads(header)
            if header["msg_type"] == "execute_request":
                self.kernel_manager.pending[header["msg_id"]] = header
        super().handle_incoming_message(incoming_msg)

    def handle_outgoing_message(self, stream, outgoing_msg):
        if getattr(stream, "channel", stream) == "iopub":
            _, (_, _, parent, _, content, *_) = self.session.feed_identities(outgoing_msg)
            if content.startswith(b'{"execution_state"') and b'"idle"' in content:
                self.kernel_manager.pending.pop(json.loads(parent).get("msg_id"), None)
        super().handle_outgoing_message(stream, outgoing_msg)

    def on_kernel_restarted(self):
        manager = self.kernel_manager
        # Requests run one after the other: the first is the one that ran.
        for header in [*manager.pending.values()][:1]:
            self.write_stderr(f"The kernel died: {manager.cause()}.", header)
        super().on_kernel_restarted()
