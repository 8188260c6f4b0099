"""The permitted content of a recipe, and the error messages for other content."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.catalogue.entries import parse
from greenroom.core.errors import Invalid
from greenroom.core.workspace.definition import Definition

BROWSER: dict[str, Any] = {
    "friendly_name": "Firefox",
    "description": "A web browser.",
    "categories": ["Browsers"],
    "kind": "application",
    "packages": ["firefox-esr"],
    "workspace": {"cores": 1.5, "memory_mb": 3000, "exec_config": {"go": {"cmd": "open"}}},
    "application": {"command": "firefox", "window_title": "Firefox$"},
}


def test_a_workspace_is_made_from_a_recipe_with_its_defaults():
    assert parse("firefox", BROWSER).definition("greenroom/firefox:1", "/pictures/1") == Definition(
        name="greenroom/firefox:1",
        friendly_name="Firefox",
        description="A web browser.",
        image_src="/pictures/1",
        cores=1.5,
        memory=3000 << 20,
        port_map={"desk": "desk"},
        exec_config={"go": {"cmd": "open"}},
        categories=["Browsers"],
        allow_launch_variables=False,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "blue"}, "`colour` is not a known field."),
        ({"kind": "game"}, "`kind` must be one of the permitted values, not 'game'."),
        ({"description": "no sentence"}, "`description` must match the pattern"),
        ({"categories": []}, "`categories` must have 1 or more entries."),
        ({"packages": ["vim; rm -rf /"]}, "`packages[0]` must match the pattern"),
        ({"workspace": {"cores": "two"}}, "`workspace.cores` must be a number, not a text."),
        (
            {"workspace": {"port_map": {"cdp": 1}}},
            "workspace.port_map: cdp is served only to programs, in the folder cdp",
        ),
        ({"workspace": {"run_config": {"privileged": True}}}, "workspace.run_config: The run config may not set"),
        ({"workspace": {"exec_config": {"went": {}}}}, "workspace.exec_config: There is no command went"),
        ({"application": {"command": "x", "window_title": "("}}, "application.window_title: '(' is not a regular"),
        ({"application": None}, "application: a recipe of kind application needs it"),
        ({"kind": "desktop"}, "application: a desktop has none"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused_with_its_name_and_the_field(change: dict[str, Any], said: str):
    with pytest.raises(Invalid) as refused:
        parse("firefox", {**BROWSER, **change})
    assert refused.value.message.startswith(f"The recipe firefox cannot be used: {said}")


@pytest.mark.parametrize("name", ["", "Firefox", "../etc", "a" * 31])
def test_the_name_of_a_recipe_is_that_of_a_folder_and_an_image(name: str):
    with pytest.raises(Invalid, match="needs a name of 1 to 30 lowercase letters"):
        parse(name, BROWSER)
