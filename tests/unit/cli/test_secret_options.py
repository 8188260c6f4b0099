"""Secrets that must not be visible in the arguments to others on the machine: they are read from stdin or from
files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Done, Pretended

Greenroom = Callable[..., Done]

USER = "33333333-3333-4333-8333-333333333333"
FOUND = {("GET", "/users"): [{"user_id": USER, "username": "ann"}]}


def test_a_secret_can_come_from_stdin(api: Pretended, greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch):
    api.answers = FOUND | {("PATCH", f"/users/{USER}"): {}}
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert greenroom("users", "update", "ann", "--password", "-").code == 0
    assert api.last[2] == {"password": "a long password"}


def test_a_key_comes_from_a_file_or_from_stdin(
    api: Pretended, greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    api.answers = FOUND | {("PATCH", f"/users/{USER}/attributes"): {}}
    monkeypatch.chdir(tmp_path)  # a message with a long path is wrapped anywhere
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA ann\n")
    assert greenroom("users", "set-attributes", "ann", "--ssh-public-key", "id.pub").code == 0
    assert api.last[2] == {"ssh_public_key": "ssh-ed25519 AAAA ann\n"}
    monkeypatch.setattr("sys.stdin", io.StringIO("-----BEGIN\nabc\n"))
    assert greenroom("users", "set-attributes", "ann", "--ssh-private-key", "-").code == 0
    assert api.last[2] == {"ssh_private_key": "-----BEGIN\nabc\n"}
    missing = greenroom("users", "set-attributes", "ann", "--ssh-private-key", "nothing")
    assert (missing.code, "cannot be read" in missing.err) == (2, True)


def test_the_value_of_a_secret_is_no_argument(
    api: Pretended, greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    api.answers = {("POST", "/secrets"): {}}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("ghp_1\n")
    create = ("secrets", "create", "github", "--host", "api.github.com", "--value")
    assert greenroom(*create, "token").code == 0
    assert api.last[2] == {"name": "github", "hosts": ["api.github.com"], "value": "ghp_1"}
    monkeypatch.setattr("sys.stdin", io.StringIO("ghp_2\n"))
    assert greenroom(*create, "-").code == 0
    assert api.last[2]["value"] == "ghp_2"
    refused = greenroom(*create, "ghp_3")
    assert (refused.code, "The file of --value does not exist." in refused.err, "ghp_3" in refused.err) == (
        2,
        True,
        False,
    )
