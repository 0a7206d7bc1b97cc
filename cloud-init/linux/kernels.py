"""How the server starts kernels."""

import sys
from pathlib import Path

import layer
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager


class Kernel(ServerKernelManager):
    """A kernel in the user's layer; in the locked environment where the layer cannot be made."""

    def format_kernel_cmd(self, extra_arguments=None):
        command = super().format_kernel_cmd(extra_arguments)
        home = Path.home()
        if command[0] == str(home / layer.FOLDER / "bin/python"):
            try:
                layer.ensure(home)
            except Exception as error:
                self.log.error("%s: %s: no packages of the user's own", home / layer.FOLDER, error)
                command[0] = sys.executable
        return command
