"""Download a base image and check its digest: pinned, signed by its project, or both."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from notebake.bases import signature, transfer, web
from notebake.errors import CommandFailed
from notebake.files import sha256
from notebake.plan.targets import Download


def fetch(
    base: Download, folder: Path, *, renew: str, context: ssl.SSLContext | None, say: Callable[[str], None]
) -> Path:
    """Return the image's path below `folder`; download it if it is missing. Check its SHA-256 every time.

    The project's signature is verified before a download, and every time if no digest is pinned. What came
    of a broken download is kept, and never has the image's name. `renew`: what to do if the image is not
    published any more. `say` prints a line. Raises MissingTool; CommandFailed if the download fails or the
    digest does not match.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A second process waits for the first one's download.
    with FileLock(folder / f".{_file_name(base)}.lock"):
        digest = base.sha256 or _signed(base, renew, context)
        path = folder / f"{digest[:12]}-{_file_name(base)}"
        if path.is_file() and sha256(path) == digest:
            return path
        if base.sha256 and base.signed and (signed := _signed(base, renew, context)) != digest:
            raise CommandFailed(
                f"{base.url}: its project signed SHA-256 {signed}, but {digest} is pinned",
                "do not use this image until you know the reason",
            )
        part = _part(folder, digest, base)
        found = _download(base.url, part, digest, renew, context, say)
        if found != digest and base.sha256 is None:
            # The project may have published another image meanwhile under the same name.
            digest = _signed(base, renew, context)
            if found != digest:
                part.unlink()
                part = _part(folder, digest, base)
                say("the image does not have the signed digest: downloading it again")
                found = _download(base.url, part, digest, renew, context, say)
        if found != digest:
            part.unlink()
            raise CommandFailed(
                f"{base.url}: SHA-256 is {found}, expected {digest}",
                f"{renew}; if that does not help, do not use this image until you know the reason",
            )
        path = folder / f"{digest[:12]}-{_file_name(base)}"
        part.replace(path)
        return path


def _part(folder: Path, digest: str, base: Download) -> Path:
    return folder / f".{digest[:12]}-{_file_name(base)}.part"


def _file_name(base: Download) -> str:
    """Return the image's name in the cache, without what QEMU and Packer read as something else."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", base.name)[-100:]


def _signed(base: Download, renew: str, context: ssl.SSLContext | None) -> str:
    assert base.signed is not None
    try:
        return signature.listed(base.signed, base.name, context).sha256
    except signature.NotPublished as error:
        raise CommandFailed(error.message, renew) from None


def _download(
    url: str,
    part: Path,
    digest: str,
    renew: str,
    context: ssl.SSLContext | None,
    say: Callable[[str], None],
) -> str:
    """Download `url` to `part`; start over if the parts do not make up the digest. Return the digest."""
    try:
        whole = transfer.fetch(url, part, context=context, say=say)
        found = sha256(part)
        if found != digest and not whole:
            say("the parts do not fit together: starting over")
            part.unlink()
            transfer.fetch(url, part, context=context, say=say)
            found = sha256(part)
    except web.NotFound as error:
        raise CommandFailed(f"{url}: cannot be downloaded: {error}", renew) from None
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(
            f"{url}: cannot be downloaded: {web.reason(error)}",
            "check the network, then run the command again: the download goes on where it ended",
        ) from None
    return found
