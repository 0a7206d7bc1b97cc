"""Linux: user-data for cloud-init, and the values of the Packer template."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator

from notebake import templates
from notebake.errors import SpecError
from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.plan.targets import Download
from notebake.provision import linux
from notebake.provision.files import Payload
from notebake.render.user_data import LIMITS, UserData

# Linux takes 131,072 bytes with the final NUL (MAX_ARG_STRLEN); bootcmd passes each text as one.
ARGUMENT_LIMIT = 100_000
# As in cloud-init/linux/environment.py.
START = 5


def cloud_config(plan: Plan, payload: Payload) -> bytes:
    """Return the user-data as readable `#cloud-config` text. Raises SpecError for a binary file."""
    binary = [item.path for item in payload.files if b"\0" in item.data or not _is_text(item.data)]
    if binary:
        raise SpecError(f"{binary[0]}: not text (UTF-8), so it cannot be carried by user-data")
    return templates.render(
        "user-data.yaml.j2",
        title=f"{plan.target.name}, endpoint {plan.spec.endpoint.name}",
        admin=plan.admin,
        cloud=linux.cloud_settings(plan),
        guest=[(item.path, text) for item in short(payload.files) for text in pieces(item.data)],
        digest=payload.digest,
    )


def short(items: tuple[RenderedFile, ...]) -> tuple[RenderedFile, ...]:
    """Return the files as user-data carries them: environment.py puts the hashes back into the lock.

    The hashes of a hundred packages would be a quarter of EC2's limit. So there is the SHA-256 of the lock,
    and the first bytes of each hash, by which the machine chooses from all hashes of the index.
    """
    found = {item.path: item.data for item in items}
    lock = found["requirements.txt"]
    starts = [bytes.fromhex(digits.decode())[:START] for digits in re.findall(rb"sha256:(\w+)", lock)]
    found["requirements.txt"] = re.sub(rb" --hash=\S+", b"", lock)
    found["hashes"] = hashlib.sha256(lock).hexdigest().encode() + b"\n" + base64.b64encode(b"".join(starts))
    # gzip looks back 32 KiB: like beside like, and what does not repeat at the end. That saves 200 bytes.
    order = sorted(
        found, key=lambda path: (path in ("hashes", "requirements.txt"), path.endswith(".py"), path)
    )
    return tuple(RenderedFile(path=path, data=found[path]) for path in order)


def pieces(data: bytes) -> Iterator[str]:
    """Yield a text (UTF-8) in pieces, at least one, each short enough for one argument of a program."""
    start = 0
    while len(data) - start > ARGUMENT_LIMIT:
        end = data.rfind(b"\n", start, start + ARGUMENT_LIMIT) + 1
        if end == 0:
            end = start + ARGUMENT_LIMIT
            # Not within a character: 0b10xxxxxx continues one.
            while data[end] & 0xC0 == 0x80:
                end -= 1
        yield data[start:end].decode()
        start = end
    yield data[start:].decode()


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def user_data(plan: Plan, payload: Payload) -> UserData:
    """Return the user-data, gzipped, which cloud-init unpacks by itself, and as text to read.

    The same for each machine of a plan: what differs, the host name, is in the meta-data. Google's metadata
    values are text, so its machines get the text. Zopfli finds a gzip stream that is 8 % shorter than
    zlib's, for which EC2's limit has a use.
    """
    # Here, not above: most commands render nothing.
    from zopfli import gzip as zopfli

    readable = cloud_config(plan, payload)
    packed = bytes(zopfli.compress(readable))
    return UserData(
        clouds=dict.fromkeys(LIMITS, packed) | {"gcp": readable},
        files=(
            RenderedFile(path="user-data", data=packed),
            RenderedFile(path="user-data.yaml", data=readable),
        ),
        seed=packed,
        parts=payload.files,
    )


def packer_variables(plan: Plan) -> bytes:
    """Return the values for the Packer template as a JSON variable file, never as HCL text."""
    base = plan.target.base
    variables = {"target": plan.target.name, "base_image": "base.qcow2", "base_checksum": "none"}
    if isinstance(base, Download):
        if not base.is_file:
            variables["base_image"] = base.url
        if base.sha256:
            variables["base_checksum"] = f"sha256:{base.sha256}"
    # Where it is "none", for a base built on the host or one whose digest is published only beside it,
    # `notebake bake` sets the digest.
    return (json.dumps(variables, indent=1) + "\n").encode()
