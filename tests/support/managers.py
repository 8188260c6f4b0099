"""Managers as processes on an empty database, for the tests of leadership, guardian and check-in."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from tests.support.processes import RoleProcess, answers, free_port
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.app import create_app
from greenroom.manager.main import Manager

KEY = b"k" * 32
SECRETS = Secrets(KEY)
"""The secrets of every installation in these tests."""
STARTED_S = 60.0
"""The time within which a process on a busy machine has started or refused to start."""
SOON_S = 15.0
"""The time within which an immediate action is done on a busy machine: half of `LONG_LEADERSHIP`."""
LONG_LEADERSHIP = {"lease_ttl_s": "30"}
"""The settings of Managers whose leadership does not end during a test, so that its end causes no early event."""
FAST = {"GREENROOM_LEASE_TTL_S": "3", "GREENROOM_LEASE_RENEW_S": "0.5", "GREENROOM_LEASE_MARGIN_S": "0.5"}


class Fleet:
    """The Managers of zone `default`, by name."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.folder = folder
        self.managers: dict[str, RoleProcess] = {}
        self.urls: dict[str, str] = {}
        self.key_file = folder / "key"
        self.key_file.write_bytes(base64.b64encode(KEY))
        self.key_file.chmod(0o600)

    def make(self, name: str, *prefix: str, **settings: str) -> RoleProcess:
        """Create a Manager without starting it, run by `prefix`; `settings` are GREENROOM_* in lower case."""
        port = free_port()
        home = self.folder / name
        home.mkdir(exist_ok=True)
        (home / "instance_id").write_text(f"{name}\n")
        environment = {
            "GREENROOM_DATABASE_URL": self.dsn,
            "GREENROOM_SECRET_KEY_FILE": str(self.key_file),
            "GREENROOM_MANAGER_PORT": str(port),
            "GREENROOM_MANAGER_DIR": str(home),
            "GREENROOM_SENTINEL_FILE": str(self.sentinel(name)),
            "GREENROOM_GATEWAY_URL": f"https://127.0.0.1:{port}",
            **FAST,
            **{f"GREENROOM_{key.upper()}": value for key, value in settings.items()},
        }
        self.urls[name] = f"http://127.0.0.1:{port}"
        self.managers[name] = RoleProcess("manager", name, self.folder, environment, prefix)
        return self.managers[name]

    async def start(self, name: str, **settings: str) -> RoleProcess:
        """Start a Manager and wait until it is healthy."""
        manager = self.make(name, **settings)
        manager.start()
        await answers(f"{self.urls[name]}/health", 200)
        return manager

    def sentinel(self, name: str) -> Path:
        """The sentinel file of a Manager."""
        return self.folder / name / "run" / "kasm_manager_draining"

    def close(self) -> None:
        """End all Managers."""
        for manager in self.managers.values():
            manager.close()


async def leadership(db: Database) -> dict[str, Any]:
    """The leadership row of zone `default`, with the instance id of the current holder (None if there is none)."""
    (row,) = await db.fetch(
        "SELECT l.term, l.holder::text, l.manager_id::text, l.backend_pid,"
        " CASE WHEN l.expires_at > clock_timestamp() THEN m.instance_id END AS primary"
        " FROM zones z JOIN zone_leases l USING (zone_key) LEFT JOIN managers m USING (manager_id)"
        " WHERE z.zone_name = 'default'"
    )
    return row


async def notifications(db: Database, act: Awaitable[object]) -> set[str]:
    """The payloads of the notifications that are sent while `act` runs."""
    async with db.connection() as connection:
        await connection.execute("LISTEN greenroom")
        await act
        await connection.execute("NOTIFY greenroom, 'end'")
        received: set[str] = set()
        async for notification in connection.notifies(timeout=30):
            if notification.payload == "end":
                break
            received.add(notification.payload)
        await connection.execute("UNLISTEN *")
        return received


async def primary_is(db: Database, *names: str, timeout_s: float = SOON_S) -> dict[str, Any]:
    """Wait until one of these Managers is Primary; returns the leadership row."""

    async def look() -> dict[str, Any] | None:
        row = await leadership(db)
        return row if row["primary"] in names else None

    found: dict[str, Any] = await eventually(look, timeout_s)
    return found


@asynccontextmanager
async def manager_here(fleet: Fleet, name: str = "one", **settings: Any) -> AsyncGenerator[httpx2.ASGITransport]:
    """Run a Manager in the process of the test, for tests that need no separate process; it is ready for Agents.

    Its leadership is too long to end when the machine stalls for a moment.
    """
    home = fleet.folder / name
    home.mkdir(exist_ok=True)
    (home / "instance_id").write_text(f"{name}\n")
    values: dict[str, Any] = {
        "database_url": fleet.dsn,
        "secret_key_file": fleet.key_file,
        "manager_dir": home,
        "sentinel_file": fleet.sentinel(name),
        "gateway_url": "https://127.0.0.1:8446",
        "lease_ttl_s": 30,
        "lease_renew_s": 0.5,
        "lease_margin_s": 0.5,
    }
    manager = Manager(ManagerConfig(**(values | settings)))
    await manager.start()
    running = asyncio.create_task(manager.run())

    async def is_registered() -> bool:
        """True once the Manager has registered; if the database timed out, the Manager retries by itself."""
        return manager.agent_services is not None

    try:
        await eventually(is_registered)
        yield httpx2.ASGITransport(create_app(manager))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def terminate(dsn: str, application_name: str) -> int:
    """Terminate the connections with this application name; returns their number."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            " AND datname = current_database()",
            (application_name,),
        ).fetchall()
    return len(rows)
