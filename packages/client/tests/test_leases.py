"""The request of the client for a lease."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.client.desk import lease_options

PLAIN: dict[str, Any] = {"options": None, "egress": None, "secrets": ()}


@pytest.mark.parametrize(
    ("wanted", "options"),
    [
        ({}, None),
        ({"egress": "none"}, {"egress": "none"}),
        (
            {"egress": ("api.github.com",), "secrets": ["github"], "options": {"kasm_url": "https://a.example"}},
            {"kasm_url": "https://a.example", "egress": {"allow": ["api.github.com"]}, "secrets": ["github"]},
        ),
    ],
)
def test_what_a_lease_reaches_and_its_secrets_are_among_its_options(
    wanted: dict[str, Any], options: dict[str, Any] | None
):
    assert lease_options(**(PLAIN | wanted)) == options
