"""The gateway finds the tag that gets the language of the browser in the first page of the console."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "src/greenroom/gateway/templates/web.conf.j2"
TAG = re.compile(r"sub_filter '(<html[^']*>)' '<html lang=\"\$gr_language\">';")


def test_the_first_page_of_the_console_gets_the_language_of_the_browser():
    found = TAG.search(TEMPLATE.read_text())
    assert found is not None
    assert (ROOT / "web/index.html").read_text().count(found[1]) == 1
