"""What the client sends for a lease."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.client.scripts import LeaseWish


def wish(**wanted: Any) -> dict[str, Any]:
    plain: dict[str, Any] = dict.fromkeys(("user_id", "options", "egress", "tags")) | {"secrets": ()}
    fixed: dict[str, Any] = {"record": "none", "record_text": False, "ready_within_s": 1.0}
    return LeaseWish(workspace="Desktop", seconds=60, **fixed, **(plain | wanted)).body


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
    assert wish(**wanted).get("options") == options
