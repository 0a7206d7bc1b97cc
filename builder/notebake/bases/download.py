"""A base that its project publishes: fetched once with pooch, its digest pinned, signed, or both."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from notebake import paths, process
from notebake.errors import CommandFailed
from notebake.plan.targets import Download, Signed


def fetch(base: Download, folder: Path) -> Path:
    """The image's path below `folder`, its SHA-256 checked at every call.

    The project's signature is checked before an image is fetched, and for one without a pinned digest
    each time. Raises MissingTool, or CommandFailed: it cannot be had, or is not what was signed or pinned.
    """
    name = Path(urlsplit(base.url).path).name
    digest = base.sha256
    if digest is None or not (folder / f"{digest[:12]}-{name}").exists():
        signed = signed_sha256(base.signed, name)
        if digest not in (None, signed):
            raise CommandFailed(
                f"{base.url}: its project signed SHA-256 {signed}, target.toml pins {digest}",
                "do not use this image before you know why",
            )
        digest = signed
    try:
        path = pooch.retrieve(
            base.url, known_hash=f"sha256:{digest}", fname=f"{digest[:12]}-{name}", path=folder
        )
    except (requests.RequestException, ValueError, OSError) as error:
        raise _refuse(base.url, error) from None
    return Path(path)


def signed_sha256(signed: Signed, name: str) -> str:
    """The SHA-256 (hex) of the file `name` in the project's list, once its signature is verified.

    Raises MissingTool, or CommandFailed for a list that cannot be had, is not signed by the pinned key,
    or does not name the file.
    """
    sums = _get(signed.sums)
    _verify(signed, sums, _get(signed.signature))
    lines = [line.split() for line in sums.decode("utf-8", "replace").splitlines() if line.strip()]
    for digest, *file in lines:
        # A list of one is the image's own, and may call it by the dated name behind the one of the URL.
        if len(lines) == 1 or [word.lstrip("*") for word in file] == [name]:
            return digest.lower()
    raise CommandFailed(f"{signed.sums}: does not name {name}", "is this dated image still published?")


def _verify(signed: Signed, data: bytes, signature: bytes) -> None:
    # gpgv and no library: the projects' keys still certify themselves with SHA-1, which the libraries
    # refuse. Here that says nothing: the key is known by its fingerprint.
    process.which("gpgv")
    key = paths.data_folder("images") / "_keys" / signed.key
    with tempfile.TemporaryDirectory(prefix="notebake-") as scratch:
        (Path(scratch) / "signature").write_bytes(signature)
        (Path(scratch) / "data").write_bytes(data)
        done = process.run(
            ["gpgv", "--status-fd", "1", "--keyring", key, f"{scratch}/signature", f"{scratch}/data"],
            timeout=60, check=False,
        )  # fmt: skip
    said = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    states = {words[1]: words[2:] for words in said if len(words) > 2 and words[0] == "[GNUPG:]"}
    # EXPKEYSIG: good, by a key that has expired since (DETAILS in GnuPG's documentation).
    good = "GOODSIG" in states or "EXPKEYSIG" in states
    if not good or states.get("VALIDSIG", [""])[-1] != signed.fingerprint:
        raise CommandFailed(
            f"{signed.sums}: not signed by {signed.fingerprint}\n{process.tail(done.stdout, 4)}",
            "do not use this image before you know why",
        )


def _get(url: str) -> bytes:
    try:
        answer = requests.get(url, timeout=60)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _refuse(url, error) from None
    return answer.content


def _refuse(url: str, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"{url}: cannot be fetched: {error}",
        "is the network there, and is this image still published? target.toml has its URL and digest",
    )
