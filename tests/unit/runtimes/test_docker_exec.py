"""The environment of commands in a container with variables that its user chose."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.docker.exec import overridden_variables
from greenroom.runtimes.docker.spec import ContainerOwner, container_config

IDENTITY = ContainerOwner(installation_id="0a1b2c3d-0000-4000-8000-000000000000", agent_id="agent")
IMAGE: dict[str, Any] = {"Config": {"Env": ["PATH=/usr/bin", "LANG=C.UTF-8"]}}


def container(user: str) -> dict[str, Any]:
    chosen = {"HOOK": "$(id)", "LANG": "de_DE.UTF-8", "PATH": "/home/kasm-user", "KASM_ID": "1"}
    spec = SessionSpec(
        image="image:1",
        image_id="i",
        credential="secret",
        environment=chosen,
        run_config={"environment": {"PATH": "/x"}},
    )
    return {"Config": {**container_config("s", spec, IDENTITY), "User": user}}


@pytest.mark.parametrize(("own", "other"), [("1000", "root"), ("1000", "0"), ("1000", "1001"), ("", None), ("0:0", "")])
def test_a_command_of_another_account_gets_none_of_the_users_choices(own: str, other: str | None):
    instead = overridden_variables(Exec(argv=("true",), user=other), container(own), IMAGE)
    assert instead == {"HOOK": None, "LANG": "C.UTF-8"}, "PATH is the workspace's, KASM_ID is ours"


@pytest.mark.parametrize("user", [None, "", "1000"])
def test_a_command_of_the_sessions_user_has_what_they_chose(user: str | None):
    assert overridden_variables(Exec(argv=("true",), user=user), container("1000"), IMAGE) == {}
