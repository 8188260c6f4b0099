"""The cause for which a database cannot be used, from what the driver says of it."""

from __future__ import annotations

import re
from typing import Final

_CAUSES: Final = (
    (r"no space left on device|disk full", "The disk of the database is full; free some space there"),
    (
        r"timeout expired|timed out|did not answer",
        "The database accepts connections and does not answer: its process or its host is frozen, or very slow",
    ),
    (r"connection refused|no such file or directory", "The database does not run, or listens elsewhere"),
    (
        r"authentication failed|pg_hba|does not exist|refuses the login|not permitted to log in|certificate",
        "The database refuses this log-in; check the database URL",
    ),
    (
        r"could not translate|name or service not known",
        "The host of the database has no address; check the database URL",
    ),
    (r"starting up|shutting down|recovery", "The database is starting or stopping; try again in a moment"),
    (r"too many connections|connection slots", "The database has no connection left; raise its max_connections"),
)
"""Pattern of the driver's text → cause and what to do, the most specific first."""


def cause(said: str) -> str:
    """One sentence: the cause, with what the driver `said` in brackets."""
    line = " ".join(said.split()).rstrip(".")
    for pattern, sentence in _CAUSES:
        if re.search(pattern, line, re.IGNORECASE):
            return f"{sentence} ({line})."
    return f"The database cannot be used ({line or 'it gives no reason'})."
