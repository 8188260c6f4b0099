"""docs/reference/logs.md is the table of codes, and each code is written somewhere."""

from __future__ import annotations

import re

from tests.support.sources import FOLDERS, ROOT

from greenroom.core.log_codes import CODE_OF_STATUS, SECURITY_CODES, LogCode

PAGE = (ROOT / "docs/reference/logs.md").read_text()


def test_the_page_lists_every_code_in_the_same_order():
    rows = re.findall(r"^\| (`.*?) \| .+ \|$", PAGE.partition("## Codes")[2], re.MULTILINE)
    assert [code for codes in rows for code in re.findall(r"`([^`]+)`", codes)] == list(LogCode)


def test_the_page_names_the_security_events():
    table = PAGE.partition("**Security events**")[2].partition("| subject | codes |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z-]+)`", table)) == SECURITY_CODES


def test_every_code_is_written_by_something():
    sources = (path for folder in FOLDERS for path in folder.rglob("*.py"))
    named = {name for path in sources for name in re.findall(r"\bLogCode\.([A-Z_]+)", path.read_text())}
    assert {code.name for code in LogCode} == named | {code.name for code in CODE_OF_STATUS.values()}
