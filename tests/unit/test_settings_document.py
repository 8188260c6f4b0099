"""docs/reference/group-settings.md names every group setting as the product has it, and a test that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from greenroom.core.settings import SETTINGS, Setting, shown

ROOT = Path(__file__).parents[2]
ROWS = {
    cells[0].strip("`"): cells
    for line in (ROOT / "docs/reference/group-settings.md").read_text().splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}


def default_of(setting: Setting) -> str:
    if setting.kind == "mapping":
        return f"`{json.dumps(setting.default)}`"
    return "(empty)" if setting.default == "" else f"`{shown(setting.default)}`"


def described(setting: Setting) -> list[str]:
    """The row of a setting without its last cell, the test."""
    return [
        f"`{setting.name}`",
        ", ".join(f"`{choice}`" for choice in setting.choices) or setting.kind,
        default_of(setting),
        setting.unit,
        "yes" if setting.excludes_staging else "",
        setting.description,
    ]


def test_the_document_has_exactly_the_settings_there_are():
    assert list(ROWS) == list(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_stands_there_as_the_product_describes_it(name: str):
    wanted = described(SETTINGS[name])
    assert ROWS[name][:-1] == wanted, f"write | {' | '.join(wanted)} | … |"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_names_the_test_that_shows_it(name: str):
    found = re.fullmatch(r"`(\w+(?:/\w+)*\.py)::(test_\w+)`", ROWS[name][-1])
    assert found is not None, ROWS[name][-1]
    file, function = found.groups()
    assert re.search(rf"^(async )?def {function}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
