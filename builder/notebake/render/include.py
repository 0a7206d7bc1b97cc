"""User-data over a cloud's limit: the provisioning files are hosted elsewhere, and user-data fetches them.

Their SHA-256 is in the user-data, so whoever hosts them cannot change them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from notebake import paths, templates
from notebake.errors import SpecError
from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.provision import linux
from notebake.provision.files import Payload, without_comments
from notebake.render.user_data import LIMITS, UserData

_URL = re.compile(r"https?://[!-~]{3,2000}")


@dataclass(frozen=True, kw_only=True)
class Include:
    """The file to host, and the URL where machines fetch it."""

    file: RenderedFile
    url: str


def include(plan: Plan, payload: Payload, url: str) -> Include:
    """Return the file to host. Where `url` ends with `/` the file's name, which has its digest, is added.

    Raises SpecError for an invalid URL, and for Windows.
    """
    if plan.target.is_windows:
        raise SpecError(
            f"target {plan.target.name}: --include is for Linux", "clouds take user-data of Windows as it is"
        )
    path = urlsplit(url).path
    if not _URL.fullmatch(url) or not path:
        raise SpecError(
            "--include: not an http or https URL of a file or, with / at its end, of a folder",
            "for example: --include https://files.example.org/notebake/",
        )
    data = payload.archive()
    name = f"{plan.target.name}-{hashlib.sha256(data).hexdigest()[:16]}.tar.gz"
    if path.endswith("/"):
        folder, query, parameters = url.partition("?")
        url = f"{folder}{name}{query}{parameters}"
    return Include(file=RenderedFile(path=name, data=data), url=url)


def user_data(plan: Plan, payload: Payload, included: Include) -> UserData:
    """Return user-data that fetches `included` at the first boot, checks its SHA-256, and retries."""
    folder = paths.data_folder("cloud-init") / "include"
    unit = without_comments((folder / "notebake-fetch.service").read_text("utf-8"), python=False)
    config = {
        "url": included.url,
        "sha256": hashlib.sha256(included.file.data).hexdigest(),
        "digest": payload.digest,
        "proxy": dict(plan.sources.proxy),
    }
    text = templates.render(
        "include-user-data.yaml.j2",
        title=f"{plan.target.name}, endpoint {plan.spec.endpoint.name}",
        shown=included.url.partition("?")[0],
        user=plan.spec.user,
        cloud=linux.cloud_settings(plan),
        fetch=without_comments((folder / "fetch.py").read_text("utf-8"), python=True),
        unit=unit,
        config=json.dumps(config),
    )
    files = (RenderedFile(path="user-data", data=text), RenderedFile(path="user-data.yaml", data=text))
    return UserData(clouds=dict.fromkeys(LIMITS, text), files=files, seed=text, parts=())
