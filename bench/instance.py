"""A running instance for the figures: `greenroom up` in a separate folder, removed at the end."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg

_MAKE_USERS: Final = """
WITH made AS (INSERT INTO users (username) SELECT %(prefix)s || '-' || n FROM generate_series(1, %(count)s) n
              RETURNING user_id),
     joined AS (INSERT INTO user_groups (user_id, group_id)
                SELECT user_id, group_id FROM made, groups WHERE groups.name = 'All Users')
SELECT user_id FROM made
"""

GREENROOM = str(Path(sys.executable).parent / "greenroom")
PORT = int(os.environ.get("BENCH_PORT", "18443"))


@dataclass(frozen=True, slots=True)
class Instance:
    """The output of `greenroom up --json`, and a client with a key that has every permission."""

    facts: dict[str, Any]
    data: Path
    http: httpx2.Client

    def context(self) -> ssl.SSLContext:
        """A TLS context that trusts the instance's certificate."""
        return ssl.create_default_context(cafile=self.facts["ca_file"])

    def get(self, path: str) -> Any:
        """GET below /api/v1, as JSON."""
        return self.http.get(f"/api/v1{path}").raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST below /api/v1, as JSON."""
        return self.http.post(f"/api/v1{path}", json=body).raise_for_status().json()

    def read_status(self) -> dict[str, Any]:
        """The output of `greenroom status --json`, with the current process ids."""
        command = [GREENROOM, "status", "--data", str(self.data), "--json"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(result.stdout.splitlines()[-1])

    def find_desktop(self) -> dict[str, Any]:
        """The workspace Desktop."""
        return next(i for i in self.get("/images") if i["friendly_name"] == "Desktop")

    def stage(self, count: int, timeout_s: float = 120) -> str:
        """Create a staging config of the desktop, wait until its `count` sessions are claimable, and return its id."""
        config_id = self.create_staging_config(self.find_desktop()["image_id"], count)
        self.wait_for_claimable(config_id, count, timeout_s)
        return config_id

    def create_staging_config(self, image_id: str, count: int) -> str:
        """Create a staging config of a workspace; returns its id."""
        zone_id = self.facts["zones"][0]["zone_id"]
        body = {"zone_id": zone_id, "image_id": image_id, "num_sessions": count, "expiration": 24}
        return self.post("/staging-configs", body)["staging_config_id"]

    def wait_for_claimable(self, config_id: str, count: int, timeout_s: float = 120) -> None:
        """Wait until the pool has `count` claimable sessions."""
        wait(lambda: self.get(f"/staging-configs/{config_id}")["num_current_sessions"] >= count, timeout_s)

    def create_users(self, count: int) -> list[str]:
        """Create `count` users of the group All Users, who cannot log in, so that no password must be hashed;
        returns their ids."""
        with psycopg.connect(self.facts["database_url"], autocommit=True) as connection:
            rows = connection.execute(_MAKE_USERS, {"prefix": f"bench-{time.time_ns()}", "count": count}).fetchall()
        return [str(row[0]) for row in rows]

    def claimable_hash(self, config_id: str) -> str:
        """The `config_hash` of the claimable sessions of a pool."""
        with psycopg.connect(self.facts["database_url"]) as connection:
            row = connection.execute(
                "SELECT config_hash FROM sessions WHERE claimable AND staging_config_id = %s LIMIT 1", (config_id,)
            ).fetchone()
        assert row is not None, "the pool is empty"
        return row[0]

    def end_assigned(self) -> None:
        """Delete the sessions of all users and wait until they are gone."""
        self._end("/sessions?staged=false")

    def end_all(self) -> None:
        """Delete every session and wait until they are gone."""
        self._end("/sessions")

    def _end(self, path: str) -> None:
        """Delete the sessions of a list page by page: a response has at most 1,000 sessions."""
        deleted: set[str] = set()

        def all_gone() -> bool:
            remaining = {session["session_id"] for session in self.get(path)}
            for session_id in remaining - deleted:
                self.http.delete(f"/api/v1/sessions/{session_id}")
            deleted.update(remaining)
            return not remaining

        wait(all_gone, 120)


def wait(ready: Callable[[], bool], timeout_s: float, pause_s: float = 0.02) -> None:
    """Poll until `ready()` is true.

    Raises:
        TimeoutError: it was not true at the deadline.
    """
    deadline_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the instance did not get there in time")
        time.sleep(pause_s)


@contextmanager
def run_instance(
    *options: str, runtime: str = "docker", environment: Mapping[str, str] | None = None
) -> Iterator[Instance]:
    """Start an instance and stop it at the end. With `runtime` "simulated" its Agent has no containers; all else is
    unchanged."""
    data = Path(tempfile.mkdtemp(prefix="gr-bench-", dir="/tmp"))
    data.chmod(0o755)
    command = [GREENROOM, "up", "--data", str(data / "data"), "--port", str(PORT), "--detach", "--json", *options]
    settings = {**os.environ, "GREENROOM_RUNTIME": runtime, **(environment or {})}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    if result.returncode:
        raise SystemExit(f"bench: greenroom up failed: {result.stderr[-2000:]}")
    facts = json.loads(result.stdout.splitlines()[-1])
    context = ssl.create_default_context(cafile=facts["ca_file"])
    auth = (facts["api_key"], facts["api_key_secret"])
    try:
        with httpx2.Client(base_url=facts["url"], verify=context, auth=auth, timeout=30) as http:
            yield Instance(facts, data / "data", http)
    finally:
        down = [GREENROOM, "down", "--data", str(data / "data")]
        result = subprocess.run(down, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode:
            raise SystemExit(f"bench: greenroom down failed: {result.stderr[-2000:]}")
        shutil.rmtree(data)
