"""What the api tells of, the console hears: a topic it does not know would leave its pages as they are."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.api.events.routes import SEES

CONSOLE = Path(__file__).parents[2] / "web/src/api/live.ts"


def test_the_console_knows_every_topic():
    table = CONSOLE.read_text().partition("const TOUCHED")[2].partition("};")[0]
    assert set(re.findall(r"^  (\w+): \[", table, re.MULTILINE)) == {"session", *SEES}
