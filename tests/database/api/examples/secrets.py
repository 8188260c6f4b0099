"""Secrets that the web filters of leases add to requests."""

from __future__ import annotations

from typing import Final

from tests.database.api.examples.step import Step, Wrong, step

SECRETS: Final[list[Step]] = [
    step(
        "create_secret",
        {
            "name": "github",
            "hosts": ["api.github.com"],
            "value": "TOKEN-OF-A-ROBOT",
            "description": "reads issues",
        },
        by="bob",
        saves="secret_id",
        wrong=Wrong(body={"hosts": ["*.github.com"]}),
    ),
    step("list_secrets", by="bob"),
    step("get_secret", by="bob", wrong=Wrong(by="ada")),
    step(
        "update_secret",
        {"hosts": ["api.github.com", "uploads.github.com"], "value": "TOKEN-OF-A-ROBOT"},
        wrong=Wrong(body={"value": None, "header": "x-api-key"}),
    ),
    step("delete_secret", by="bob", wrong=Wrong(again=True)),
]
