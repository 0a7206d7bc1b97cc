"""The spec: every wrong field is reported by its name; defaults are the documented ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebake.errors import SpecError
from notebake.plan import example, password, spec


def test_empty_spec_has_the_documented_defaults() -> None:
    defaults = spec.parse("", source="x")
    assert defaults.packages == (
        "notebook", "ipykernel", "ipywidgets", "numpy", "scipy", "matplotlib", "pandas",
    )  # fmt: skip
    assert (defaults.user, defaults.notebook.port, defaults.notebook.profile) == (
        "azureuser",
        9999,
        "nbserver",
    )
    assert (defaults.notebook.pylab, defaults.notebook.folder, defaults.notebook.password) == (
        "inline",
        "notebooks",
        None,
    )
    assert (defaults.endpoint.name, defaults.endpoint.public_port) == ("ipython_nb", 443)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("prot = 1", "prot: unknown key"),
        ("[notebook]\nprot = 1", "notebook.prot: unknown key"),
        ("[notebook]\nport = 70000", "notebook.port"),
        ("[notebook]\nport = 0", "notebook.port"),
        ('[notebook]\nport = "9999"', "notebook.port"),
        ("[notebook]\nport = true", "notebook.port"),
        ("[notebook]\nport = 22", "notebook.port 22"),
        ("[endpoint]\npublic_port = 22", "endpoint.public_port 22"),
        ('[notebook]\npylab = "inlin"', "notebook.pylab"),
        ('[notebook]\nprofile = "a/b"', "notebook.profile"),
        ('[notebook]\nfolder = "../x"', "notebook.folder"),
        ('[notebook]\nfolder = "/"', "notebook.folder"),
        ('[notebook]\nbase_url = "/lab"', "notebook.base_url"),
        ('[notebook]\nbase_url = "lab/"', "notebook.base_url"),
        ('[notebook]\nbase_url = "/a/../b/"', "notebook.base_url"),
        ('[notebook]\norigin = "http://hub.example"', "notebook.origin"),
        ('[notebook]\norigin = "https://hub.example/lab"', "notebook.origin"),
        ('[notebook]\norigin = "*"', "notebook.origin"),
        ('[notebook]\npreload = [""]', "notebook.preload"),
        ('[notebook]\npreload = ["a", "a"]', "the same name is listed twice"),
        ("[notebook]\nkernel_memory = 100", "notebook.kernel_memory"),
        ("[notebook]\ncull_idle_timeout = -1", "notebook.cull_idle_timeout"),
        ('[notebook]\nexport = ["docx"]', "notebook.export"),
        ('[image]\nfonts = ["emoji"]', "image.fonts"),
        ('extras = ["sciences"]', "extras"),
        ('[notebook]\npassword = "argon2:$argon2i$v=19$m=1,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"',
         "notebook.password"),
        ('[notebook]\npassword = "sha1:abc:def"', "notebook.password"),
        ('user = "root"', "user: must not be root"),
        ('user = "a b"', "user"),
        ("packages = []", "packages"),
        ('packages = ["a b"]', "packages"),
        ('packages = ["x @ https://example.com/x.whl"]', "packages"),
        ('packages = ["numpy", "NumPy"]', "numpy is listed twice"),
        ('mirrors = "hst"', "mirrors"),
        ('[mirrors]\napt = "not a url"', "mirrors.apt"),
        ('[mirrors]\npython = "https://me:secret@index.example/simple"', "mirrors.python"),
        ('[certificate]\nkey = "x.pem"', "certificate"),
        ('[certificate]\nnames = ["a b"]', "certificate.names"),
        ("[endpoint]\npublic_port = -1", "endpoint.public_port"),
        ("packages = [", "not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_reported(text: str, names: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(text, source="my.toml")
    assert caught.value.message.startswith("my.toml: ")
    assert names in caught.value.message
    assert caught.value.hint
    assert "literal" not in caught.value.message and "Mirrors" not in caught.value.message


def test_an_origin_is_as_browsers_send_it() -> None:
    text = '[notebook]\nbase_url = "/lab/one/"\norigin = "https://Hub.example:443"'
    notebook = spec.parse(text, source="x").notebook
    assert (notebook.base_url, notebook.origin) == ("/lab/one/", "https://hub.example")


def test_a_plain_password_in_the_spec_is_refused_and_not_printed() -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse('[notebook]\npassword = "hunter2"', source="my.toml")
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_missing_spec_is_reported_with_init_as_the_hint(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file") as caught:
        spec.load(tmp_path / "notebake.toml")
    assert "notebake init" in str(caught.value.hint)


def test_the_spec_accepts_the_hash_of_a_password() -> None:
    hashed = password.password_hash("correct horse", salt=b"\0" * 16)
    assert spec.parse(f'[notebook]\npassword = "{hashed}"', source="x").notebook.password == hashed
    assert hashed.startswith("argon2:$argon2id$v=19$m=10240,t=10,p=8$AAAAAAAAAAAAAAAAAAAAAA$")
    assert hashed != password.password_hash("correct horse", salt=b"\1" * 16)


def test_init_writes_the_defaults() -> None:
    assert spec.parse(example.text(password=None, mirrors=None), source="x") == spec.Spec()
    assert spec.parse(example.text(password=None, mirrors="host"), source="x").mirrors == "host"


def test_the_schema_has_every_field() -> None:
    schema = spec.schema()
    assert set(schema["properties"]) == set(spec.Spec.model_fields)
    assert schema["additionalProperties"] is False


def test_an_extra_adds_packages_that_the_spec_does_not_name() -> None:
    parsed = spec.parse('packages = ["notebook", "SymPy>=1.12"]\nextras = ["science"]', source="x")
    assert parsed.python_packages == (
        *("notebook", "SymPy>=1.12"),
        *("ipympl", "networkx", "openpyxl", "pyarrow", "scikit-learn"),
    )
    assert spec.parse("", source="x").python_packages == spec.DEFAULT_PACKAGES
