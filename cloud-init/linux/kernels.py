"""How the server starts kernels, and what it tells the page when one dies."""

import json
import signal
import sys
from pathlib import Path

import fonts
import layer
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager


def killed_for_memory():
    """Return how many processes the kernel of the system has killed because memory was full."""
    return int(Path("/proc/vmstat").read_text().split("oom_kill ")[1].split()[0])


class Kernel(ServerKernelManager):
    """A kernel in the user's layer; in the locked environment where the layer cannot be made.

    `running`: the header of the request that it executes, or None.
    """

    running = None
    kills = 0

    def format_kernel_cmd(self, extra_arguments=None):
        command = super().format_kernel_cmd(extra_arguments)
        home = Path.home()
        fonts.forget(home)
        self.kills = killed_for_memory()
        try:
            layer.ensure(home)
        except Exception as error:
            own = str(home / layer.FOLDER / "bin/python")
            self.log.error("%s: %s", own, error)
            command = [sys.executable if word == own else word for word in command]
        return command

    def cause(self):
        """Return why the kernel's process ended, in words."""
        code = self.provisioner.process.returncode
        if code >= 0:
            return f"it exited with code {code}"
        if -code == signal.SIGKILL and killed_for_memory() > self.kills:
            return "the machine's memory is full, and the system killed it"
        return f"it was killed by {signal.Signals(-code).name} ({signal.strsignal(-code)})"


class Connection(ZMQChannelsWebsocketConnection):
    """A page's connection to a kernel: when the kernel dies, the cell that ran says why."""

    def handle_outgoing_message(self, stream, outgoing_msg):
        if getattr(stream, "channel", stream) == "iopub":
            _, (_, _, parent, _, content, *_) = self.session.feed_identities(outgoing_msg)
            if b'"execute_request"' in parent and content.startswith(b'{"execution_state"'):
                self.kernel_manager.running = b'"busy"' in content and json.loads(parent)
        super().handle_outgoing_message(stream, outgoing_msg)

    def on_kernel_restarted(self):
        manager = self.kernel_manager
        if manager.running:
            text = f"The kernel died: {manager.cause()}. Its variables are lost."
            self.write_stderr(text, manager.running)
        super().on_kernel_restarted()
