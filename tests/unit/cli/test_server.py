"""The selection of the deployment, of the key, and of the trusted identity."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import NAMED, Done, Pretended

from greenroom.cli import server
from greenroom.up.layout import Layout
from greenroom.up.tls import ensure_authority

Greenroom = Callable[..., Done]


@pytest.fixture
def no_server_named(api: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all environment variables that name a deployment."""
    for name in NAMED:
        monkeypatch.delenv(name)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """The folder of a local instance, with the files that the command line reads."""
    (tmp_path / "instance.json").write_text(json.dumps({"format": 1, "port": 7000}))
    (tmp_path / "credentials.json").write_text(json.dumps({"api_key": "local", "api_key_secret": "hidden"}))
    (tmp_path / "tls").mkdir()
    ensure_authority(Layout(tmp_path))
    return tmp_path


def credentials(api: Pretended) -> str:
    """The key and the secret of the last request."""
    return base64.b64decode(api.asked[-1].headers["authorization"].removeprefix("Basic ")).decode()


def test_the_environment_names_deployment_and_key(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/zones"): []}
    assert greenroom("zones", "list").code == 0
    assert str(api.asked[-1].url).startswith("https://greenroom.example/api/v1/zones")
    assert credentials(api) == "key:secret"


def test_options_go_before_the_environment(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/zones"): []}
    assert greenroom("zones", "list", "--url", "https://other.example/", "--key", "a", "--secret", "b").code == 0
    assert api.asked[-1].url.host == "other.example"
    assert credentials(api) == "a:b"


@pytest.mark.usefixtures("no_server_named")
def test_without_them_it_is_the_local_instance(api: Pretended, greenroom: Greenroom, instance: Path):
    api.answers = {("GET", "/zones"): []}
    assert greenroom("zones", "list", "--data", str(instance)).code == 0
    assert api.servers[-1].url == "https://127.0.0.1:7000"
    assert api.servers[-1].is_local
    assert api.servers[-1].tls.verify_mode == ssl.CERT_REQUIRED
    assert credentials(api) == "local:hidden"


@pytest.mark.usefixtures("no_server_named")
def test_a_launch_at_the_local_instance_is_for_its_administrator(api: Pretended, greenroom: Greenroom, instance: Path):
    api.answers = {
        ("GET", "/images"): [{"image_id": "i", "friendly_name": "Desktop"}],
        ("GET", "/users"): [{"user_id": "u", "username": "admin@greenroom.local"}],
        ("POST", "/sessions"): {"session_id": "s", "connect_url": "/session/s"},
    }
    assert greenroom("sessions", "launch", "Desktop", "--data", str(instance)).code == 0
    assert api.last == ("POST", "/sessions", {"image_id": "i", "user_id": "u"})


@pytest.mark.usefixtures("no_server_named")
@pytest.mark.parametrize(
    "options",
    [
        ["--data", "/nowhere"],
        ["--url", "https://greenroom.example"],
        ["--url", "https://greenroom.example", "--key", "a"],
        ["--url", "http://greenroom.example", "--key", "a", "--secret", "b"],
        ["--url", "ftp://127.0.0.1", "--key", "a", "--secret", "b"],
        ["--url", "https://127.0.0.1", "--key", "a", "--secret", "b", "--ca-file", "/nowhere"],
    ],
)
def test_a_deployment_that_is_not_fully_named_is_wrong_usage(api: Pretended, greenroom: Greenroom, options: list[str]):
    assert greenroom("zones", "list", *options).code == 2
    assert not api.asked


def test_no_answer_is_exit_code_1(greenroom: Greenroom):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
        done = greenroom("zones", "list", "--url", url, "--key", "a", "--secret", "b")
    assert done.code == 1
    assert f"{url} does not answer" in done.err


def test_the_owner_of_a_listening_socket_is_found():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert server.owners_of_port(listening.getsockname()[1]) == {os.getuid()}


@pytest.mark.parametrize(
    ("owners", "mode"), [({os.getuid()}, ssl.CERT_NONE), ({4711}, ssl.CERT_REQUIRED), (set[int](), ssl.CERT_REQUIRED)]
)
def test_an_unknown_certificate_is_accepted_of_a_local_owner_only(
    monkeypatch: pytest.MonkeyPatch, owners: set[int], mode: ssl.VerifyMode
):
    monkeypatch.setattr(server, "owners_of_port", lambda _: owners)
    found = server.find_server(url="https://127.0.0.1:1", key="a", secret="b", ca_file=None, data=Path("/nowhere"))
    assert found.tls.verify_mode == mode


def test_an_address_elsewhere_is_always_verified(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "owners_of_port", lambda _: {os.getuid()})
    found = server.find_server(url="https://10.0.0.1", key="a", secret="b", ca_file=None, data=Path("/nowhere"))
    assert found.tls.verify_mode == ssl.CERT_REQUIRED


def test_the_secret_is_not_in_what_is_printed_of_a_server():
    found = server.find_server(url="https://10.0.0.1", key="a", secret="hidden", ca_file=None, data=None)
    assert "hidden" not in repr(found)
