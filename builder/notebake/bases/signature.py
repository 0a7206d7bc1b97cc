"""Checksum lists that projects publish and sign: the digest of an image, verified with the project's key."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

from notebake import paths, process, scratch
from notebake.bases import web
from notebake.errors import CommandFailed
from notebake.plan.targets import Signed


class NotPublished(CommandFailed):
    """The project has no checksum list, or no such image in it."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An image in a checksum list: SHA-256 (hex), and the name and time (Last-Modified) it has there."""

    sha256: str
    name: str
    modified: str | None


def listed(signed: Signed, name: str, context: ssl.SSLContext | None) -> Listed:
    """Return the image `name` of the project's checksum list, after verifying the list's signature.

    Raises MissingTool; NotPublished if there is no list or the image is not in it; CommandFailed if the list
    cannot be read or is not signed by the pinned key.
    """
    sums = _get(signed.sums, context)
    problem = _problem(signed, sums.body, _get(signed.signature, context).body)
    if problem:
        # The project may have published another list between the two.
        sums = _get(signed.sums, context)
        problem = _problem(signed, sums.body, _get(signed.signature, context).body)
    if problem:
        raise CommandFailed(
            f"{signed.sums}: not signed by {signed.fingerprint}\n{problem}",
            "do not use this image until you know the reason",
        )
    lines = [line.split() for line in sums.body.decode("utf-8", "replace").splitlines() if line.strip()]
    for digest, *words in lines:
        file = " ".join(words).lstrip("*")
        # A list with one line is for this image only, and may use the dated name that the URL redirects to.
        if (len(lines) == 1 or file == name) and re.fullmatch(r"[0-9A-Fa-f]{64}", digest):
            return Listed(sha256=digest.lower(), name=file or name, modified=sums.modified)
    raise NotPublished(
        f"{signed.sums}: does not contain {name}", "check whether this image is still published"
    )


def _problem(signed: Signed, data: bytes, signature: bytes) -> str | None:
    """Return what gpgv prints on a signature that is not good, or None."""
    # gpgv instead of a library: the projects' keys have SHA-1 self-signatures, which the libraries
    # reject. They do not matter here: the key is pinned by its fingerprint.
    process.which("gpgv")
    key = paths.data_folder("images") / "_keys" / signed.key
    with scratch.folder(scratch.short(), "nb") as folder:
        (folder / "signature").write_bytes(signature)
        (folder / "data").write_bytes(data)
        done = process.run(
            [
                "gpgv",
                "--status-fd", "1",
                "--keyring", key,
                folder / "signature",
                folder / "data",
            ],
            timeout=60,
            check=False,
        )  # fmt: skip
    lines = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    statuses = {words[1]: words[2:] for words in lines if len(words) > 2 and words[0] == "[GNUPG:]"}
    # EXPKEYSIG: a good signature by a key that has expired since (DETAILS in GnuPG's documentation).
    good = "GOODSIG" in statuses or "EXPKEYSIG" in statuses
    if good and statuses.get("VALIDSIG", [""])[-1] == signed.fingerprint:
        return None
    return process.tail(done.stdout, 4)


def _get(url: str, context: ssl.SSLContext | None) -> web.Answer:
    try:
        answer = web.get(url, context=context)
    except web.NotFound as error:
        raise NotPublished(
            f"{url}: cannot be downloaded: {error}", "check whether this image is still published"
        ) from None
    except OSError as error:
        raise CommandFailed(
            f"{url}: cannot be downloaded: {error}", "check the network, and run the command again"
        ) from None
    assert answer is not None
    return answer
