"""The commands of a workspace."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.errors import Invalid
from greenroom.core.workspace.exec_config import assign_of, command_of, validated
from greenroom.core.workspace.session_spec import Exec


def test_a_command_is_split_once_by_shell_rules():
    config = {
        "go": {
            "cmd": "bash -c 'open --url \"$KASM_URL\"'",
            "user": "root",
            "workdir": "/opt",
            "environment": {"A": 1},
            "privileged": False,
        },
        "assign": {"cmd": ["printf", "%s", "two words"]},
    }
    assert validated(config) == config
    go, assign = command_of(config, "go"), command_of(config, "assign")
    assert go is not None
    assert (go.argv, go.user, go.workdir, go.environment) == (
        ("bash", "-c", 'open --url "$KASM_URL"'),
        "root",
        "/opt",
        {"A": "1"},
    )
    assert assign is not None
    assert assign.argv == ("printf", "%s", "two words")
    assert (assign.user, assign.workdir, assign.environment) == (None, None, {})
    assert command_of(config, "first_launch") is None
    assert command_of({"go": {"cmd": "x", "user": "", "workdir": "", "environment": None}}, "go") == Exec(argv=("x",))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"start": {"cmd": "x"}}, "There is no command start; the commands are first_launch, go, assign."),
        ({"go": "x"}, "The command go must be an object."),
        ({"go": {}}, "The command go is empty."),
        ({"go": {"user": "root"}}, "The command go needs `cmd`"),
        ({"go": {"cmd": "  "}}, "The command go is empty."),
        ({"go": {"cmd": []}}, "The command go is empty."),
        ({"go": {"cmd": [1]}}, "a list of texts"),
        ({"go": {"cmd": "echo 'open"}}, "cannot be split into words: No closing quotation."),
        (
            {"go": {"cmd": "x", "privileged": True}},
            (
                "may not have `privileged`, because a command has the rights of its session; it may have cmd, "
                "environment,"
            ),
        ),
        ({"go": {"cmd": ["a\0b"]}}, "The command go must be a text or a list of texts."),
        ({"go": {"cmd": "x", "only_with_address": True}}, "may not have `only_with_address`"),
        ({"assign": {"cmd": "x", "only_with_address": 1}}, "may not have `only_with_address`"),
        ({"go": {"cmd": "x", "shell": True}}, "may not have `shell`; it may have cmd, environment, user, workdir."),
        ({"go": {"cmd": "x", "workdir": "tmp"}}, "absolute path"),
        ({"go": {"cmd": "x", "environment": ["A=1"]}}, "must be an object"),
        ({"go": {"cmd": "x", "environment": {"VNC_PW": "x"}}}, "VNC_PW is set by Greenroom"),
        ({"go": {"cmd": "x", "user": 7}}, "must be a text"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused_with_the_reason(config: dict[str, Any], words: str):
    with pytest.raises(Invalid) as refused:
        validated(config)
    assert words in refused.value.message


@pytest.mark.parametrize("url", [None, "", "https://a.example"])
@pytest.mark.parametrize("only", [True, False])
def test_assign_may_be_for_launches_with_an_address_alone(url: str | None, only: bool):
    config = validated({"assign": {"cmd": "open", "only_with_address": only}})
    assert (assign_of(config, url) is not None) == (bool(url) or not only)
    assert assign_of({}, url) is None
