"""AWS for tests: moto's server, asked by the real boto3. No account and no network is used.

moto makes up a console and a public address, takes any user-data, and never refuses. Here both come from the
test, user-data has EC2's limit, and `refuse` makes an operation fail.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends, elastic_network_interfaces
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import Base64EncodedString
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from moto.sts.exceptions import STSClientError
from moto.sts.responses import TokenResponse

REGION = "eu-central-1"
ACCOUNT = "123456789012"
IMAGE = "ami-0123456789abcdef0"


def user_data(instance: Instance) -> bytes:
    """Return the user-data as the instance's meta-data service gives it."""
    return base64.b64decode(str(instance.user_data))


class Aws:
    """EC2 in one region, with an image of Debian's own account.

    `console`: returns what a machine has printed. `host`: public address of a machine that starts; `started`
    and `stopped` are told of each. `calls`: how often RunInstances was called. `limit`: bytes of user-data.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.console: Callable[[], str] = lambda: ""
        self.host: str | None = "127.77.0.1"  # nothing listens there
        self.started: Callable[[Instance], None] = lambda instance: None
        self.stopped: Callable[[Instance], None] = lambda instance: None
        self.calls = 0
        self.limit = 16384
        self._refused: dict[str, list[tuple[str, str]]] = {}
        self._patch = patch
        patch.setattr(elastic_network_interfaces, "random_public_ip", lambda: self.host)
        # A function: moto finds no other kind.
        patch.setattr(General, "get_console_output", lambda response: self._console_output(response))
        self._wrap(InstanceResponse, "run_instances", self._run)
        self._wrap(TokenResponse, "get_caller_identity")
        self._wrap(InstanceResponse, "describe_instances")
        self._wrap(InstanceResponse, "terminate_instances")
        self._watch("start", lambda instance: self.started(instance))
        self._watch("stop", lambda instance: self.stopped(instance))
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }.items():
            patch.setenv(name, value)
        moto_api_backend.reset()
        self.add_image(IMAGE, "debian-13-amd64-20261101-2000")

    def close(self) -> None:
        self._server.stop()
        moto_api_backend.reset()

    @property
    def ec2(self) -> Any:
        """moto's memory of the region."""
        return ec2_backends[ACCOUNT][REGION]

    def add_image(
        self, id: str, name: str, *, owner: str = "136693071363", architecture: str = "x86_64"
    ) -> None:
        """Add an image with a root disk of 8 GiB."""
        self.ec2.amis[id] = Ami(
            self.ec2, id, name=name, owner_id=owner, architecture=architecture, root_device_name="/dev/xvda"
        )

    def instances(self, *states: str) -> list[Instance]:
        """Return the instances in one of `states`, by default those that were not terminated."""
        wanted = states or ("pending", "running", "stopping", "stopped")
        return [
            instance
            for reservation in self.ec2.all_reservations()
            for instance in reservation.instances
            if instance.state in wanted
        ]

    def left(self) -> list[str]:
        """Return all that is billed or named and not moto's own: instances, groups, keys, disks."""
        groups = [each.name for each in self.ec2.describe_security_groups() if each.name != "default"]
        disks = [each.id for each in self.ec2.describe_volumes()]
        return [*(each.id for each in self.instances()), *groups, *self.ec2.key_pairs, *disks]

    def refuse(self, operation: str, code: str, message: str = "as you asked", *, times: int = 1000) -> None:
        """Let the next `times` calls of an operation (`run_instances`) fail."""
        self._refused[operation] = [(code, message)] * times

    def _wrap(self, owner: type, name: str, then: Callable[[Any, Any], Any] | None = None) -> None:
        real = getattr(owner, name)
        error = STSClientError if owner is TokenResponse else EC2ClientError

        def wrapped(response: Any) -> Any:
            if name == "run_instances":
                self.calls += 1
            if self._refused.get(name):
                raise error(*self._refused[name].pop())
            return then(response, real) if then else real(response)

        self._patch.setattr(owner, name, wrapped)

    def _watch(self, name: str, then: Callable[[Instance], None]) -> None:
        real = getattr(Instance, name)

        def wrapped(instance: Instance) -> Any:
            state = real(instance)
            then(instance)
            return state

        self._patch.setattr(Instance, name, wrapped)

    def _run(self, response: Any, real: Callable[[Any], Any]) -> Any:
        known = {each.id for each in self.instances()}
        result = real(response)
        for instance in self.instances():
            if instance.id in known:
                continue
            assert len(user_data(instance)) <= self.limit
            self.started(instance)
        return result

    def _console_output(self, response: Any) -> ActionResult:
        # Without Latest EC2 gives what was printed some minutes ago.
        text = self.console() if response._get_bool_param("Latest", False) else ""
        found = {
            "InstanceId": response._get_param("InstanceId"),
            "Output": Base64EncodedString.from_raw_string(text),
        }
        return ActionResult(found)
