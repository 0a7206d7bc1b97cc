"""The Terraform module of `notebake render`: its syntax by python-hcl2, its values, when it is written.

No provider is here: the names of its attributes were checked by hand (docs/explanation/what-has-been-run.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hcl2
import pytest
from tests.conftest import GOLDEN_SPEC, Run

from notebake.plan.plan import Plan
from notebake.render import output, terraform
from notebake.render.output import Access

AWS = '[aws]\nregion = "eu-central-1"\nsubnet = "subnet-01"\nallow = ["198.51.100.7/32", "2001:db8::/64"]\n'
KEY = "ssh-ed25519 AAAA me"


def rendered(plan: Plan, **options: Any) -> dict[str, bytes]:
    """Return the files of the module: name -> bytes."""
    files = output.render(plan, **options).files
    start = f"{terraform.FOLDER}/"
    return {file.path.removeprefix(start): file.data for file in files if file.path.startswith(start)}


def plain(text: str) -> str:
    return text.strip('"')


def variables(files: dict[str, bytes]) -> dict[str, Any]:
    """Return the module's variables: name -> their block."""
    tree = hcl2.loads(files["main.tf"].decode())
    return {plain(name): block for each in tree["variable"] for name, block in each.items()}


@pytest.mark.parametrize("text", ["", AWS, '[aws]\nimage = "ami-01"\npublic = false\ntags = { a = "b" }\n'])
def test_each_value_is_a_variable_and_none_is_missing(make_plan: Callable[..., Plan], text: str) -> None:
    files = rendered(make_plan(GOLDEN_SPEC + text), access=Access(public_keys=(KEY, "other")))
    values, known = json.loads(files["terraform.tfvars.json"]), variables(files)
    assert values.keys() <= known.keys()
    required = {name for name, block in known.items() if "default" not in block}
    # Who may reach the machines is asked for, unless the spec says it.
    assert required - values.keys() == (set() if text == AWS else {"allow"})
    assert values["public_key"] == KEY


def test_the_values_are_those_of_the_spec(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(f"{GOLDEN_SPEC}{AWS}\n[endpoint]\npublic_port = 8443\n")
    made = output.render(plan, hostname="lab", include_url="https://files.example/")
    files = rendered(plan, hostname="lab", include_url="https://files.example/")
    assert json.loads(files["terraform.tfvars.json"]) == {
        "admin": "debian",
        "allow": ["198.51.100.7/32", "2001:db8::/64"],
        "base_url": "/",
        "name": "lab",
        "port": 8443,
        "public": True,
        "publisher": {"name": "debian-13-amd64-*", "owner": "136693071363"},
        "region": "eu-central-1",
        "size": "t3.small",
        "subnet": "subnet-01",
        "tags": {},
        "user_data": "user-data",
    }
    assert files["user-data"] == made.user_data.clouds["aws"]
    # No value is in the text, so it is the same for each spec.
    assert files["main.tf"] == rendered(make_plan(target="ubuntu-24.04"))["main.tf"]


def test_machines_are_guarded(make_plan: Callable[..., Plan]) -> None:
    resources = {
        plain(kind): next(iter(named.values()))
        for each in hcl2.loads(rendered(make_plan())["main.tf"].decode())["resource"]
        for kind, named in each.items()
    }
    (ingress,) = resources["aws_security_group"]["dynamic"]
    (content,) = ingress[next(iter(ingress))]["content"]
    for family in ("cidr_blocks", "ipv6_cidr_blocks"):
        assert "for network in var.allow" in str(content[family])
    (options,) = resources["aws_instance"]["metadata_options"]
    assert plain(options["http_tokens"]) == "required" and options["http_put_response_hop_limit"] == 1
    assert resources["aws_instance"]["root_block_device"][0]["encrypted"] is True


def test_it_is_for_linux_on_aws(make_plan: Callable[..., Plan]) -> None:
    assert set(rendered(make_plan())) == {"main.tf", "terraform.tfvars.json", "user-data"}
    assert rendered(make_plan(), clouds=("azure", "gcp")) == {}
    assert rendered(make_plan(target="windows-2025")) == {}


def test_it_needs_an_image(make_plan: Callable[..., Plan]) -> None:
    def plan(text: str = "") -> Plan:
        made = make_plan(GOLDEN_SPEC + text)
        clouds = made.target.cloud.model_copy(update={"aws": None})
        return replace(made, target=made.target.model_copy(update={"cloud": clouds}))

    assert rendered(plan()) == {}
    values = json.loads(rendered(plan('[aws]\nimage = "ami-01"\n'))["terraform.tfvars.json"])
    assert values["image"] == "ami-01" and "publisher" not in values


def test_terraforms_state_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text(GOLDEN_SPEC)
    assert run("render", "debian-13")[0] == 0
    module = Path("rendered/debian-13", terraform.FOLDER)
    (module / "terraform.tfstate").write_text("{}")
    code, _, err = run("render", "debian-13")
    assert code == 2 and f"{module}/terraform.tfstate: " in err
    assert (module / "terraform.tfstate").exists()
