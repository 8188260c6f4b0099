"""A zone on separate hosts: PostgreSQL, three Managers, each with a gateway and a network cable, eight Agents.

The processes are real and deployed as usual, on one machine: hosts are network namespaces (tests.support.islands),
Agents simulate their containers. Managers and Agents have the default timings.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import history
from tests.support.agents import join_token
from tests.support.gateways import RUN_AS_ACCOUNT
from tests.support.islands import MAINLAND, Islands
from tests.support.managers import Fleet, eventually
from tests.support.postgres import PostgresServer
from tests.support.processes import RoleProcess

from greenroom.db.database import Database
from greenroom.db.fleet.managers import find_manager, set_enabled
from greenroom.db.migrate import migrate
from greenroom.up.account import service_account

MANAGERS = ("one", "two", "three")
AGENTS = 8
LEASE_TTL_S = 6.0
LEASE_RENEW_S = 2.0
CHECK_IN_S = 5.0
DEFAULTS = {"lease_ttl_s": str(LEASE_TTL_S), "lease_renew_s": str(LEASE_RENEW_S), "lease_margin_s": "1"}

_WORKING = """
SELECT m.instance_id, l.term FROM zone_leases l JOIN managers m USING (manager_id)
 WHERE l.expires_at > clock_timestamp()
   AND (SELECT count(*) FROM managers WHERE enabled AND last_reported > clock_timestamp() - interval '2 seconds') = %s
   AND (SELECT count(*) FROM agents a WHERE a.manager_id = l.manager_id AND a.manager_term = l.term) >= %s
   AND (SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE application_name LIKE 'greenroom leadership %%') = %s
"""


@dataclass
class Zone:
    """The parts of the zone. Times are seconds since the epoch, of this machine's single clock."""

    db: Database
    server: PostgresServer
    islands: Islands
    fleet: Fleet
    folder: Path
    agents: list[RoleProcess] = field(default_factory=list[RoleProcess])
    gateways: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def close(self) -> None:
        """End the processes; nginx first, in order."""
        for gateway in self.gateways:
            gateway.terminate()
        for process in [*self.agents, *self.fleet.managers.values()]:
            process.close()
        for gateway in self.gateways:
            gateway.wait(20)

    async def wait_until_working(self, agents: int = AGENTS) -> tuple[str, int]:
        """Wait until all Managers work and `agents` Agents are with the Primary; returns its name and its term."""

        async def check() -> tuple[str, int] | None:
            rows = await self.db.fetch(_WORKING, (len(MANAGERS), agents, len(MANAGERS)))
            return (rows[0]["instance_id"], rows[0]["term"]) if rows else None

        result: tuple[str, int] = await eventually(check, 120)
        return result

    async def wait_for_first_write(self, after_term: int) -> tuple[int, float, float]:
        """Wait for a guarded write under a later term; returns that term and the commit times of its TAKE and of
        that write."""

        async def check() -> tuple[int, float, float] | None:
            rows = await self.db.fetch(
                "SELECT kind, term, extract(epoch FROM pg_xact_commit_timestamp(xid))::double precision AS at"
                " FROM history WHERE term > %s ORDER BY history_id",
                (after_term,),
            )
            take_times = {row["term"]: row["at"] for row in reversed(rows) if row["kind"] == "take"}
            write = next((row for row in rows if row["kind"] == "write"), None)
            return (write["term"], take_times[write["term"]], write["at"]) if write and write["at"] else None

        result: tuple[int, float, float] = await eventually(check, 60)
        return result

    async def wait_for_agents(self, term: int) -> float:
        """Wait until all Agents are recorded with the holder of this term; returns the time of the observation."""

        async def check() -> float | None:
            rows = await self.db.fetch(
                "SELECT 1 FROM agents a JOIN zone_leases l ON l.manager_id = a.manager_id"
                " WHERE l.term = %s AND a.manager_term = l.term",
                (term,),
            )
            return time.time() if len(rows) == AGENTS else None

        result: float = await eventually(check, 60)
        return result

    async def enable(self, name: str, enabled: bool) -> None:
        """Enable or disable a Manager, like the api."""
        manager_id = await find_manager(self.db, name)
        assert manager_id is not None
        await set_enabled(self.db, manager_id, enabled)

    async def count_stale_writes(self, name: str, term: int) -> int:
        """The number of guarded writes of a Manager that were accepted after a later term had begun."""
        entries = await history.read(self.db)
        first_later = next(n for n, entry in enumerate(entries) if entry.term > term)
        return sum(entry.writer == name and entry.manager != name for entry in entries[first_later:])


@asynccontextmanager
async def run_zone() -> AsyncIterator[Zone]:
    """Start the zone, wait until it works, and remove it at the end."""
    folder = _create_folder()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        islands = Islands()
        stack.callback(islands.close)
        server = PostgresServer(
            folder / "postgres",
            address=MAINLAND,
            options=("track_commit_timestamp=on", "max_connections=200"),
            prefix=islands.inside(),
        )
        stack.callback(server.stop)
        await server.start()
        await migrate(server.dsn)
        db = Database(server.dsn, application_name="greenroom bench")
        await db.open()
        stack.push_async_callback(db.close)
        await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
        await history.record(db)
        fleet = Fleet(f"host={MAINLAND} port=5432 user=greenroom dbname=greenroom", folder)
        zone = Zone(db, server, islands, fleet, folder)
        stack.callback(zone.close)
        _start_managers(zone)
        await _start_agents(zone)
        await zone.wait_until_working()
        yield zone


def _create_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gr-bench-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("postgres", "console"):
        (folder / name).mkdir()
    return folder


def _start_managers(zone: Zone) -> None:
    addresses = {name: zone.islands.add(name) for name in MANAGERS}
    _create_certificate(zone.folder, list(addresses.values()))
    for name, address in addresses.items():
        inside = zone.islands.inside(name)
        zone.fleet.make(name, *inside, gateway_url=f"https://{address}:8443", **DEFAULTS).start()
        sentinel = zone.fleet.sentinel(name)
        sentinel.parent.mkdir(parents=True)
        plan = {
            "tls_certificate": str(zone.folder / "cert.pem"),
            "tls_key": str(zone.folder / "key.pem"),
            "main_listen": f"{address}:8443",
            "stream_listen": f"{address}:8445",
            "api": "127.0.0.1:9",
            "console_dir": str(zone.folder / "console"),
            "served_hosts": [address],
            "managers": [
                {
                    "name": name,
                    "upstream": zone.fleet.urls[name].removeprefix("http://"),
                    "sentinel_file": str(sentinel),
                }
            ],
        }
        file = zone.folder / f"gateway-{name}.json"
        file.write_text(json.dumps(plan))
        zone.gateways.append(_start_gateway(file, inside))


def _start_gateway(plan: Path, inside: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a gateway with the ordinary account that it requires."""
    home = plan.with_suffix("")
    home.mkdir()
    account = service_account()
    os.chown(home, account.uid, account.gid)
    with plan.with_suffix(".log").open("ab") as output:
        return subprocess.Popen(
            [*inside, sys.executable, "-c", RUN_AS_ACCOUNT, str(account.uid), str(account.gid)],
            env={"PATH": os.defpath, "GREENROOM_GATEWAY_FILE": str(plan), "GREENROOM_GATEWAY_DIR": str(home)},
            cwd="/",
            stdout=output,
            stderr=output,
        )


async def _start_agents(zone: Zone) -> None:
    token = zone.folder / "token"
    await eventually(lambda: zone.db.fetch("SELECT 1 FROM managers"), 60)
    token.write_text(await join_token(zone.db, uses=AGENTS))
    urls = ",".join(f"https://{zone.islands.address(name)}:8443" for name in MANAGERS)
    for number in range(AGENTS):
        environment = {
            "GREENROOM_AGENT_DIR": str(zone.folder / f"agent-{number}"),
            "GREENROOM_AGENT_PORT": str(4444 + number),
            "GREENROOM_MANAGER_URLS": urls,
            "GREENROOM_CA_FILE": str(zone.folder / "cert.pem"),
            "GREENROOM_JOIN_TOKEN_FILE": str(token),
            "GREENROOM_RUNTIME": "simulated",
        }
        agent = RoleProcess("agent", f"agent-{number}", zone.folder, environment, zone.islands.inside())
        zone.agents.append(agent)
        agent.start()


def _create_certificate(folder: Path, addresses: list[str]) -> None:
    """Create cert.pem, which is also its authority, and key.pem for these addresses."""
    names = ",".join(f"IP:{address}" for address in addresses)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=greenroom bench", "-days", "1", "-addext", f"subjectAltName={names}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "key.pem").chmod(0o644)
