"""The defaults of a new workspace with an image of a known maker."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.workspace.definition import DEFAULTS_BY_MAKER, Definition, require_consistent, with_defaults
from greenroom.core.workspace.page import page_path_problem, relative_address_problem, validated_ports
from greenroom.core.workspace.run_config import validated


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("kasmweb/chrome:1.18.0", "kasmweb"),
        ("docker.io/kasmweb/desktop", "kasmweb"),
        ("r.example:5000/mirror/kasmweb/gimp:1", "kasmweb"),
        ("lscr.io/linuxserver/webtop:latest", "linuxserver"),
        ("linuxserver/firefox@sha256:" + "0" * 64, "linuxserver"),
    ],
)
def test_the_name_of_an_image_selects_the_defaults_of_its_maker(name: str, family: str):
    assert with_defaults(name, {"cores": 1.0}) == {**DEFAULTS_BY_MAKER[family], "cores": 1.0}


@pytest.mark.parametrize("name", ["kasmweb", "linuxserver:1", "me/kasmweb", "kasmweb-like/x", "greenroom/desktop:xfce"])
def test_an_image_of_another_maker_gets_no_defaults(name: str):
    assert with_defaults(name, {"port": 80}) == {"port": 80}


def test_given_values_replace_the_defaults():
    made = with_defaults(
        "linuxserver/webtop",
        {"port": 3001, "run_config": {"hostname": "a", "environment": {"PUID": "7", "TITLE": "Mine"}}},
    )
    assert (made["port"], made["protocol"]) == (3001, "http")
    assert made["run_config"]["hostname"] == "a"
    assert made["run_config"]["cap_add"] == DEFAULTS_BY_MAKER["linuxserver"]["run_config"]["cap_add"]
    variables = made["run_config"]["environment"]
    assert (variables["PUID"], variables["TITLE"], variables["SUBFOLDER"]) == ("7", "Mine", "/{path}/")


@pytest.mark.parametrize("fields", DEFAULTS_BY_MAKER.values(), ids=DEFAULTS_BY_MAKER)
def test_the_defaults_of_each_maker_are_valid(fields: dict[str, Any]):
    made = Definition(name="a", friendly_name="A", **fields)
    require_consistent(made)
    assert page_path_problem(made.page_path) is None
    assert relative_address_problem("start_page", made.start_page) is None
    validated_ports(made.port_map)
    validated(made.run_config)
