"""The TOML files that the documentation shows are files that the roles can use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from greenroom.gateway.plan_builder import EDGE_FILES, SiteFacts, build_plan, check_settings
from greenroom.kit import config

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("howto/several-machines.md", "reference/settings.md")
KINDS = {"api": config.ApiConfig, "manager": config.ManagerConfig, "gateway": config.GatewayConfig}
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[Any]:
    """(role, settings) of every example; the first line names its file, without one it is the gateway's."""
    found: list[Any] = []
    for page in PAGES:
        for text in BLOCK.findall((DOCS / page).read_text()):
            name = re.match(r"# \S*/(\w+)\.toml\n", text)
            role, values = name[1] if name else "gateway", tomllib.loads(text)
            if set(values) != {"database_url"}:
                found.append(pytest.param(role, values, id=f"{page}-{len(found)}"))
    return found


@pytest.mark.parametrize(("role", "values"), examples())
def test_an_example_is_a_file_that_its_role_can_use(role: str, values: dict[str, Any]):
    kind = KINDS[role]
    assert set(values) <= set(kind.model_fields)
    given = {"manager_dir": "/set/by/the/unit"} if role == "manager" else {}
    read = kind(**given, **values)
    if isinstance(read, config.GatewayConfig):
        check_settings(read)
        here = {read.edge_dir / EDGE_FILES[0]: "1a2b3c4d-0000-4000-8000-000000000000"} if read.edge_dir else {}
        assert build_plan(read, SiteFacts(texts=here, has_edge_certificate=bool(here)), Path("/gw")).served_hosts
