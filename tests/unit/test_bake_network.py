"""While a machine is baked no other host can reach it: neither its ssh, nor the wheels, nor a screen."""

from __future__ import annotations

import hcl2
import pytest

from notebake import paths

SOURCES = {"linux/linux.pkr.hcl": 22, "windows/qemu.pkr.hcl": 5986}


@pytest.mark.parametrize("path", SOURCES)
def test_qemu_listens_on_loopback_only(path: str) -> None:
    text = (paths.data_folder("images") / "_shared" / path).read_text()
    source = str(hcl2.loads(text)["source"])
    # Packer's own -netdev has `hostfwd=tcp::PORT`: all addresses.
    assert f"user,id=user.0,hostfwd=tcp:127.0.0.1:{{{{ .SSHHostPort }}}}-:{SOURCES[path]}" in source
    assert source.count("hostfwd=") == 1
    # Packer's web server listens everywhere by default; without http_directory there is none.
    assert "http_directory" not in source or "127.0.0.1" in source.split("http_bind_address")[1][:20]


def test_a_linux_machine_has_no_screen_over_vnc() -> None:
    text = (paths.data_folder("images") / "_shared/linux/linux.pkr.hcl").read_text()
    (source,) = hcl2.loads(text)["source"]
    image = next(iter(next(iter(source.values())).values()))
    assert image["disable_vnc"] is True
    assert "-vnc" in str(image["qemuargs"]) and "none" in str(image["qemuargs"])
