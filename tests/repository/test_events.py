"""The console and the triggers of the database know the topics of events."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.core.events import Topic

ROOT = Path(__file__).parents[2]


def test_the_console_knows_every_topic():
    table = (ROOT / "web/src/api/live.ts").read_text().partition("const TOUCHED")[2].partition("};")[0]
    assert set(re.findall(r"^  (\w+): \[", table, re.MULTILINE)) == set(Topic)


def test_the_triggers_of_the_database_send_topics():
    schema = "".join(path.read_text() for path in (ROOT / "src/greenroom/db/migrations").glob("*.sql"))
    sent = re.findall(r"notify_row\('(\w+)'\)|pg_notify\('greenroom', '(\w+):'", schema)
    topics = {row or function for row, function in sent}
    assert {"managers", "zones", "primary", "lease"} <= topics <= set(Topic)
