"""An instance of the old version with the data of a large installation, and what an upgrade must keep of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.acceptance.instance import processes_of, run, wait_for
from tests.acceptance.steady import beside
from tests.acceptance.upgradable import Upgradable
from tests.release.traffic import Streams
from tests.support.crowd import Crowd, fill
from tests.versions import Versions

from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.runtimes.simulated_host import SimulationSettings, stored_containers

CROWD: Final = Crowd(
    agents=20, users=1000, images=50, pools=50, staged=10, live=2000, ended=8000, logs=10_000, requests=2000
)
"""10,000 sessions, 50 pools and 1,000 users. A role does not touch them, because no Manager has their zone."""
LAUNCHING_USERS: Final = 1000
SECRETS: Final = 20
RECORDINGS: Final = 20

_ROWS: Final = (
    (
        "INSERT INTO recordings (lease_id, session_id, user_id, holder, image_friendly_name, zone_name, record,"
        " record_text, ended, rows, pictures) SELECT md5('lease' || n)::uuid, md5('ended' || n)::uuid,"
        " md5('user' || n)::uuid, 'a user', 'Desktop', 'crowd', 'pictures', false, now(), 50, 50"
        f" FROM generate_series(1, {RECORDINGS}) n"
    ),
    (
        "INSERT INTO recording_rows (lease_id, number, began, duration_ms, what, said, who, details)"
        " SELECT lease_id, n, now(), 5, 'left_click', 'A click', '', '{}' FROM recordings, generate_series(1, 50) n"
    ),
    (
        "INSERT INTO recording_pictures (lease_id, number, width, height, data)"
        " SELECT lease_id, number, 640, 480, decode(repeat(md5(number::text), 500), 'hex') FROM recording_rows"
    ),
)

OWN_TABLES: Final = (
    *("schema_migrations", "managers", "zone_leases", "zones", "manager_requests", "login_sessions"),
    *("audit_events", "audit_head", "audit_operations", "audit_seals"),
    *("series_done", "series_launches", "series_pools", "series_zones"),
)
"""Tables whose rows change while roles run, or with a migration."""
CHANGED: Final = ("last_used", "migrated_by")
"""Columns that change with the requests of a key, and with the version."""
_FILTERS: Final = {
    "zone_id": "zone_id = md5('zone')::uuid",
    "agent_id": "agent_id IN (SELECT agent_id FROM agents WHERE zone_id = md5('zone')::uuid)",
    "session_id": "session_id IN (SELECT session_id FROM sessions WHERE zone_id = md5('zone')::uuid)",
    "zone_name": "zone_name = 'crowd'",
    "user_id": "user_id IN (SELECT user_id FROM users WHERE username LIKE 'user-%%')",
    "staging_config_id": "staging_config_id IN"
    " (SELECT staging_config_id FROM staging_configs WHERE zone_id = md5('zone')::uuid)",
}
"""The first column that a table has → the condition of its rows that no role changes. Other tables do not change."""


class Populated(Upgradable):
    """A populated instance. `populate` must be called once."""

    def __init__(self, versions: Versions, page: str) -> None:
        super().__init__(versions)
        self._page = page
        self.pristine: Path | None = None
        """A backup from before the first upgrade."""
        self._users: Iterator[str] = iter(())

    def populate(self) -> None:
        """Start the instance, and fill its database."""
        self.up()
        asyncio.run(self._fill())
        for number in range(SECRETS):
            self.call("POST", "/secrets", json={"name": f"s-{number}", "hosts": ["api.example.com"], "value": "hidden"})
        for statement in _ROWS:
            self.sql(statement)
        folder = self.folder / "pristine"
        self.command(self.versions.old, "backup", str(folder), "--passphrase-file", str(self.passphrase_file))
        (self.pristine,) = folder.iterdir()

    def up(self, *options: str) -> dict[str, Any]:
        found = super().up(*options)
        self.simulate(SimulationSettings(address=self._page, cores=10_000, memory_bytes=1 << 50))
        return found

    def _has_shortfalls(self) -> bool:
        (row,) = self.sql("SELECT count(*) AS n FROM staging_configs WHERE shortfall_code = 'no-running-manager'")
        return row["n"] == CROWD.pools

    async def _fill(self) -> None:
        db = Database(self.found["database_url"], application_name="tests", max_size=1, statement_timeout_ms=0)
        await db.open()
        try:
            await fill(db, CROWD)
        finally:
            await db.close()

    def return_to_old(self) -> None:
        """Restore the pristine backup with the old version, unless the instance runs the old version already."""
        program = (str(self.versions.old),)
        if self.program == program and self.plan()["current"] == self.versions.old_version:
            return
        assert self.down().returncode == 0
        self.program = program
        words = ("restore", str(self.pristine), "--replace", "--passphrase-file", str(self.passphrase_file))
        self.command(self.versions.old, *words)
        self.up()
        # The staged sessions of a backup end, so the pools without a Manager fall short.
        wait_for(self._has_shortfalls, "the api has stored the shortfalls of the pools without a Manager", 90)

    def users(self) -> Iterator[str]:
        """Ids of new users, who may launch `Desktop`."""
        rows = self.sql(
            "WITH u AS (INSERT INTO users (username) SELECT 'load-' || gen_random_uuid() FROM generate_series(1, %s)"
            " RETURNING user_id), g AS (INSERT INTO user_groups (user_id, group_id) SELECT user_id, %s FROM u)"
            " SELECT user_id::text FROM u",
            LAUNCHING_USERS,
            ALL_USERS,
        )
        return iter([row["user_id"] for row in rows])

    def run_sessions(self, users: Iterator[str], number: int) -> list[str]:
        """Launch sessions, and return their ids when they run."""
        launched = [self.launch(next(users))["session_id"] for _ in range(number)]
        for session_id in launched:
            wait_for(lambda one=session_id: self.has_status(one, "running"), "the session runs", 120)
        return launched

    def streams_again(self, session_id: str) -> None:
        """Open a new stream of a session."""
        streams = Streams(self, [session_id])
        with beside(streams.run):
            wait_for(streams.all_open, "the stream is open")

    def last_check_in(self) -> datetime:
        """The time of the last check-in of the Agent."""
        (row,) = self.sql("SELECT last_reported FROM agents WHERE hostname NOT LIKE 'host-%%' AND %s", True)
        return row["last_reported"]

    def sessions_of_host(self) -> set[str]:
        """The sessions that have a container on the simulated host."""
        return set(stored_containers(self.layout.agent("agent-default")))

    def sessions_of_agent(self) -> set[str]:
        """The sessions that should have a container there."""
        query = "SELECT session_id::text FROM sessions WHERE status <> 'deleted' AND zone_id <> md5('zone')::uuid"
        return {row["session_id"] for row in self.sql(query)}

    def outcomes(self, *sessions: dict[str, Any]) -> list[str]:
        """The outcomes of the launches of these sessions."""
        return [self.call("GET", f"/sessions/{one['session_id']}/placement")["outcome"] for one in sessions]

    # Kept objects ---------------------------------------------------------------------------------------------------

    def layout_of_tables(self) -> dict[str, tuple[str, ...]]:
        """The columns of each table."""
        rows = self.sql(
            "SELECT table_name, array_agg(column_name::text ORDER BY column_name) AS columns"
            " FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name"
        )
        return {row["table_name"]: tuple(row["columns"]) for row in rows}

    def contents(self, tables: dict[str, tuple[str, ...]]) -> dict[str, tuple[int, str]]:
        """The number and a digest of the rows of each table that no role changes, in the given columns; and digests of
        the keys in DATA."""
        found = dict[str, tuple[int, str]]()
        for table, columns in tables.items():
            if table in OWN_TABLES:
                continue
            condition = next((text for column, text in _FILTERS.items() if column in columns), "true")
            names = ", ".join(f'"{column}"' for column in columns if column not in CHANGED)
            (row,) = self.sql(
                f"SELECT count(*) AS number, coalesce(sum(hashtextextended(t::text, 0)), 0)::text AS digest"
                f" FROM (SELECT {names} FROM {table} WHERE {condition}) t WHERE %s",
                True,
            )
            found[table] = (row["number"], row["digest"])
        key = self.layout.key_file.read_bytes()
        return {**found, "key": (len(key), hashlib.sha256(key).hexdigest())}

    # Damage ---------------------------------------------------------------------------------------------------------

    def lose_power(self, command: subprocess.Popen[str]) -> None:
        """Kill every process of the instance, and a command that works on it."""

        def has_ended() -> bool:
            lines = processes_of(self.data)
            for line in lines:
                with suppress(ProcessLookupError):
                    os.kill(int(line.split()[0]), signal.SIGKILL)
            return not lines

        with command:
            wait_for(has_ended, "no process is left", 60)

    def start_again(self) -> str:
        """Run `greenroom up` of the old version, or of the new one if the old one refuses; returns its version."""
        words = ("up", "--data", str(self.data), "--detach", "--json")
        done = run(*words, program=(str(self.versions.old),), **self.environment)
        if done.returncode == 0:
            return self.versions.old_version
        assert f"was used by the newer version {self.versions.new_version}" in done.stderr, done.stderr + self.logs()
        self.program = (str(self.versions.new),)
        self.up()
        return self.versions.new_version


def resize(folder: Path, free_bytes: int | None) -> None:
    """Change the free space of a folder in memory; None = no limit."""
    space = os.statvfs(folder)
    used = (space.f_blocks - space.f_bfree) * space.f_frsize
    size = 0 if free_bytes is None else used + free_bytes
    subprocess.run(("mount", "-o", f"remount,size={size}", str(folder)), check=True)
