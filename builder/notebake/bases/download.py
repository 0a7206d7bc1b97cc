"""Download a base image and check its digest: pinned in target.toml, signed by the project, or both."""

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
    """Return the image's path below `folder`; download it if it is missing. Check its SHA-256 every time.

    The project's signature is verified before a download, and every time if no digest is pinned. Raises
    MissingTool; CommandFailed if the download fails or the digest does not match.
    """
    name = Path(urlsplit(base.url).path).name
    digest = base.sha256
    if digest is None or not (folder / f"{digest[:12]}-{name}").exists():
        signed = signed_sha256(base.signed, name)
        if digest not in (None, signed):
            raise CommandFailed(
                f"{base.url}: the project signed SHA-256 {signed}, but target.toml pins {digest}",
                "do not use this image until you know the reason",
            )
        digest = signed
    try:
        path = pooch.retrieve(
            base.url, known_hash=f"sha256:{digest}", fname=f"{digest[:12]}-{name}", path=folder
        )
    except (requests.RequestException, ValueError, OSError) as error:
        raise _failed(base.url, error) from None
    return Path(path)


def signed_sha256(signed: Signed, name: str) -> str:
    """Return the SHA-256 (hex) of the file `name` in the project's checksum list, after verifying the list.

    Raises MissingTool; CommandFailed if the list cannot be downloaded, is not signed by the pinned key, or
    does not contain the file.
    """
    sums = _get(signed.sums)
    _verify(signed, sums, _get(signed.signature))
    lines = [line.split() for line in sums.decode("utf-8", "replace").splitlines() if line.strip()]
    for digest, *file in lines:
        # A list with one line is for this image only, and may use the dated name that the URL redirects to.
        if len(lines) == 1 or [word.lstrip("*") for word in file] == [name]:
            return digest.lower()
    raise CommandFailed(
        f"{signed.sums}: does not contain {name}", "check whether this dated image is still published"
    )


def _verify(signed: Signed, data: bytes, signature: bytes) -> None:
    # gpgv instead of a library: the projects' keys have SHA-1 self-signatures, which the libraries
    # reject. They do not matter here: the key is pinned by its fingerprint.
    process.which("gpgv")
    key = paths.data_folder("images") / "_keys" / signed.key
    with tempfile.TemporaryDirectory(prefix="notebake-") as scratch:
        (Path(scratch) / "signature").write_bytes(signature)
        (Path(scratch) / "data").write_bytes(data)
        done = process.run(
            [
                "gpgv",
                "--status-fd", "1",
                "--keyring", key,
                f"{scratch}/signature",
                f"{scratch}/data",
            ],
            timeout=60,
            check=False,
        )  # fmt: skip
    lines = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    statuses = {words[1]: words[2:] for words in lines if len(words) > 2 and words[0] == "[GNUPG:]"}
    # EXPKEYSIG: a good signature by a key that has expired since (DETAILS in GnuPG's documentation).
    good = "GOODSIG" in statuses or "EXPKEYSIG" in statuses
    if not good or statuses.get("VALIDSIG", [""])[-1] != signed.fingerprint:
        raise CommandFailed(
            f"{signed.sums}: not signed by {signed.fingerprint}\n{process.tail(done.stdout, 4)}",
            "do not use this image until you know the reason",
        )


def _get(url: str) -> bytes:
    try:
        response = requests.get(url, timeout=60)
        response.raise_for_status()
    except requests.RequestException as error:
        raise _failed(url, error) from None
    return response.content


def _failed(url: str, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"{url}: cannot be downloaded: {error}",
        "check the network, and that this image is still published; target.toml has its URL and digest",
    )
