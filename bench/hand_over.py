"""After the claim of a staged session: until its stream opens, and until its replacement is being created."""

from __future__ import annotations

import json
import time
from datetime import datetime

import psycopg

from bench.api_connection import ApiConnection
from bench.instance import Instance, run_instance
from bench.session_stream import wait_until_open
from bench.table import Figure, median, spread

POOL = 3
SAMPLES = 12
PAUSE_S = 0.5
"""The time between the refill of the pool and the next launch."""
OPEN_MS = 30.0
CREATION_MS = 20.0

# `assigned` is the time just before the commit, so the following step is slightly shorter than measured.
_CLAIMS = "SELECT extract(epoch FROM assigned)::double precision FROM sessions WHERE assigned IS NOT NULL ORDER BY 1"


def run() -> list[Figure]:
    """Launch one session after the other, each with a full pool at rest; the image has no `assign`."""
    open_ms: list[float] = []
    with run_instance() as instance:
        config_id, image_id = instance.stage(POOL), instance.find_desktop()["image_id"]
        for user in instance.create_users(SAMPLES):
            instance.wait_for_claimable(config_id, POOL)
            time.sleep(PAUSE_S)
            connection, events = ApiConnection(instance), ApiConnection(instance).events()
            start = time.perf_counter()
            session = connection.launch(image_id, user)["session_id"]
            wait_until_open(connection, events, session)
            open_ms.append((time.perf_counter() - start) * 1000)
            connection.request("DELETE", f"/sessions/{session}")
        instance.wait_for_claimable(config_id, POOL)
        creation_ms = _creation_ms(instance)
    return [
        Figure(
            "launch of a staged session until its stream may be opened, p50", median(open_ms), OPEN_MS, "ms",
            "the goal", len(open_ms), spread(open_ms), open_ms, goal=1,
        ),
        Figure(
            "assignment committed until its replacement is being created, p50", median(creation_ms), CREATION_MS, "ms",
            "the goal", len(creation_ms), spread(creation_ms), creation_ms, goal=1,
        ),
    ]  # fmt: skip


def _creation_ms(instance: Instance) -> list[float]:
    """Milliseconds from each claim until the Agent, according to its log, next began to create a container."""
    with psycopg.connect(instance.facts["database_url"]) as connection:
        claims = [row[0] for row in connection.execute(_CLAIMS).fetchall()]
    creations = sorted(
        datetime.fromisoformat(line["timestamp"]).timestamp()
        for file in (instance.data / "logs").glob("agent-*.log")
        for line in map(_parse_line, file.read_text().splitlines())
        if line.get("event") == "changing a container" and line.get("action") == "create"
    )
    return [
        (min(creation_s for creation_s in creations if creation_s > claim_s) - claim_s) * 1000 for claim_s in claims
    ]


def _parse_line(line: str) -> dict[str, str]:
    """A line of the log; empty if it is no JSON object (a traceback)."""
    return json.loads(line) if line.startswith("{") else {}
