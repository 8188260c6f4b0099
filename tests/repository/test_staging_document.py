"""docs/reference/staging.md has every field of a config, every code of a shortfall and of a miss, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from greenroom.api.pool.schemas import StagingHistoryView, StagingSaved
from greenroom.core.launch.compatibility import RULES
from greenroom.core.pool.model import ShortfallCode

PAGE = (Path(__file__).parent.parent.parent / "docs/reference/staging.md").read_text()
NAMES_OF_OTHERS = {"staging_config_id", "zone_name", "image_friendly_name", "created"}
"""Fields of a config that only name it."""


def table(heading: str) -> list[str]:
    """The names in the first column of the tables below a heading, in order."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in first for name in re.findall(r"`([\w-]+)`", cell)]


def test_all_fields_of_a_config():
    fields = [name for name in table("A config") if name in StagingSaved.model_fields]
    assert set(fields) == set(StagingSaved.model_fields) - NAMES_OF_OTHERS


def test_all_codes_of_a_shortfall():
    assert sorted(table("Codes of a shortfall")) == sorted(get_args(ShortfallCode))


def test_all_settings_that_exclude_staging():
    assert table("Settings that exclude staged sessions") == list(dict.fromkeys(rule.code for rule in RULES))


def test_codes_of_misses_name_no_setting():
    assert not set(table("Hits and misses")) & {rule.code for rule in RULES}


@pytest.mark.parametrize("field", StagingHistoryView.model_fields)
def test_the_history_is_shown(field: str):
    assert f'"{field}"' in PAGE
