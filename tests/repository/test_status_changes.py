"""No statement changes the status of a session but those of `db/session/transitions.py`."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.db.session import transitions

DB = Path(transitions.__file__).parent


def test_no_statement_sets_a_status_by_hand():
    found = {
        path.name
        for path in DB.rglob("*.py")
        for statement in re.findall(r"UPDATE sessions(?: s)? SET(.*?)WHERE", path.read_text(), re.DOTALL)
        if re.search(r"(?<![._])status = '", statement)
    }
    assert found == set()
