"""The table of tokens in docs/explanation/design.md has the colors of the console's style sheet, which are legible."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SHEET: Final = (ROOT / "web/src/theme/tokens.css").read_text()
LIGHT, DARK, BOTH = (
    dict(re.findall(r"(--gr-[\w-]+):\s*([^;]+);", block))
    for block in re.findall(r"(?m)^:root[^{]*\{([^}]*)\}", SHEET)[:3]
)
SURFACES: Final = ("--gr-surface", "--gr-surface-raised", "--gr-surface-sunken")
HUES: Final = ("accent", "ready", "staged", "warning", "failure", "neutral")


def test_the_table_of_the_page_has_each_token_with_its_colors():
    page = (ROOT / "docs/explanation/design.md").read_text()
    rows = re.findall(r"(?m)^\| `(--gr-[\w-]+)` \| `([^`]+)` \| `([^`]+)` \|", page)
    themes = {name: (LIGHT[name], DARK[name]) for name in LIGHT} | {
        name: (color, color) for name, color in BOTH.items()
    }
    assert {name: (light, dark) for name, light, dark in rows} == themes
    assert LIGHT.keys() == DARK.keys()


def test_only_the_tokens_have_colors():
    color = re.compile(
        r"(?i)#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|hwb|lab|lch|oklab|oklch)a?\("
        r"|(?<![-\w.])(?:white|black|red|green|blue|gray|grey|yellow|orange|violet)(?![-\w])"
    )
    sheets = [path for path in (ROOT / "web/src").rglob("*.css") if path.name != "tokens.css"]
    texts = {path.name: re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL) for path in sheets}
    assert len(texts) > 50
    assert {name: found for name, text in texts.items() if (found := color.findall(text))} == {}


def luminance(color: str) -> float:
    """The relative luminance of WCAG 2.2."""
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_a_contrast_of_four_and_a_half_on_each_surface(theme: dict[str, str]):
    texts = ["--gr-text", "--gr-text-muted", *(f"--gr-{hue}" for hue in HUES), *(f"--gr-{hue}-text" for hue in HUES)]
    pairs = [(text, surface) for text in texts for surface in SURFACES]
    pairs += [(text, f"--gr-{hue}-surface") for hue in HUES for text in ("--gr-text", f"--gr-{hue}-text")]
    assert [pair for pair in pairs if contrast(theme[pair[0]], theme[pair[1]]) < 4.5] == []
    assert [hue for hue in HUES if contrast("#ffffff", theme[f"--gr-{hue}-fill"]) < 4.5] == []


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_borders_of_fields_and_series_of_charts_are_seen(theme: dict[str, str]):
    marks = ["--gr-border-strong", *(f"--gr-chart-{number}" for number in range(1, 13))]
    assert [mark for mark in marks if contrast(theme[mark], theme["--gr-surface"]) < 3] == []
