"""A zone as it is deployed: Managers as processes behind a real gateway, a real api, Agents inside the test.

Each Manager has a separate listener at the gateway, with its own sentinel; Agents know only these listeners. Their
host is the simulated one, so that a test can count the actions there.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psycopg
from prometheus_client.parser import text_string_to_metric_families
from tests.support.agents import join_token
from tests.support.gateways import STARTED_S, World, make_world
from tests.support.managers import Fleet, leadership, primary_is
from tests.support.played import serve
from tests.support.processes import RoleProcess, answers, free_port
from tests.support.real_agents import agent_inside, simulated
from tests.support.waiting import eventually

from greenroom.agent.fleet.manager_client import NoManager
from greenroom.agent.main import Agent
from greenroom.api.app import create_app
from greenroom.core.workspace.session_spec import Exec
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.passwords import hash_password
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.runtimes.contract import ExecResult
from greenroom.up.installation import ensure_first_data
from greenroom.up.postgres import PostgresCluster

KEY = ("abcdefghijkl", "the secret half")
IMAGE = "greenroom/desktop:simulated"


@dataclass
class Host:
    """An Agent, and the number of times each command and each creation reached its simulated host."""

    agent: Agent
    commands: Counter[str] = field(default_factory=Counter[str])
    creations: Counter[str] = field(default_factory=Counter[str])
    failed_before: float = 0.0

    def count(self) -> None:
        """Count from now on."""
        runtime = simulated(self.agent)
        exec_before, create_before = runtime.exec, runtime.create

        async def execute(session_id: str, command: Exec) -> ExecResult:
            self.commands[" ".join(command.argv)] += 1
            return await exec_before(session_id, command)

        async def create(session_id: str, *args: Any, **named: Any) -> Any:
            self.creations[session_id] += 1
            return await create_before(session_id, *args, **named)

        runtime.exec, runtime.create = execute, create

    def forget(self) -> None:
        """Count calls that failed from now on."""
        self.failed_before = self._failed()

    def value(self, name: str, **labels: str) -> float:
        """A metric of the Agent; 0 when it was never counted."""
        return self.agent.metrics.registry.get_sample_value(f"greenroom_agent_{name}", labels) or 0.0

    async def containers(self) -> set[str]:
        """Ids of the containers on its host."""
        return {container.container_id for container in await simulated(self.agent).list()}

    @contextmanager
    def cut_off(self) -> Generator[None]:
        """During the block, no message passes between the Agent and any Manager."""

        async def unanswered(*_: Any, **__: Any) -> Any:
            await asyncio.sleep(0.5)  # as a link that answers nothing
            raise NoManager("the cable is pulled")

        client = self.agent.check_in.manager_client
        ask, client.ask = client.ask, unanswered
        try:
            yield
        finally:
            client.ask = ask

    @property
    def failed_calls(self) -> float:
        """Calls that failed permanently: no Manager answered, or one refused."""
        return self._failed() - self.failed_before

    def _failed(self) -> float:
        counters = ("check_ins_total", "registrations_total")
        return sum(self.value(name, outcome=o) for name in counters for o in ("NoManager", "ManagerRefusedError"))


@dataclass
class Zone:
    """Zone `default` with its Managers, its gateway and an api; see `deployed_zone`."""

    db: Database
    fleet: Fleet
    world: World
    api: httpx2.AsyncClient
    stack: AsyncExitStack
    hosts: list[Host] = field(default_factory=list[Host])
    image_id: str = ""

    # Managers -----------------------------------------------------------------------------------------------------

    async def start_manager(self, name: str) -> None:
        """Start a created Manager, and wait until its gateway serves it."""
        self.fleet.managers[name].start()
        await answers(f"{self.fleet.urls[name]}/health", 200, STARTED_S)
        await self.world.until(lambda: self._is_served(name))

    async def answers_disabled(self, name: str) -> None:
        """Wait until a Manager that was started while disabled answers."""
        await answers(f"{self.fleet.urls[name]}/health", 503, STARTED_S)

    async def _is_served(self, name: str) -> bool:
        return (await self.world.client().get(f"{self.gateway(name)}/health")).status_code == 200

    def gateway(self, name: str) -> str:
        """The address under which Agents reach a Manager."""
        (listen,) = [m["listen"] for m in self.world.plan["managers"] if m["name"] == name]
        return f"https://{listen}"

    async def manager_id(self, name: str) -> str:
        """The id of the record of a Manager."""
        (row,) = await self.db.fetch("SELECT manager_id::text FROM managers WHERE instance_id = %s", (name,))
        return str(row["manager_id"])

    async def enable(self, name: str, enabled: bool) -> None:
        """Enable or disable a Manager like an administrator."""
        body = {"enabled": enabled}
        answer = await self.api.patch(f"/api/v1/managers/{await self.manager_id(name)}", json=body)
        assert answer.status_code == 200, answer.text

    async def all_at_work(self) -> None:
        """Wait until every Manager is enabled and running, and every Agent reports to the Primary: the state at the
        start of each test."""
        for name, manager in self.fleet.managers.items():
            manager.thaw()
            if manager.process is None or manager.process.poll() is not None:
                await self.start_manager(name)
            await self.enable(name, True)
        await self.all_report_to_primary()
        for host in self.hosts:
            host.forget()

    async def primary(self) -> RoleProcess:
        """The process that is currently Primary."""
        now = await primary_is(self.db, *self.fleet.managers)
        return self.fleet.managers[now["primary"]]

    async def counted(self, name: str, **labels: str) -> float:
        """A metric, summed over all running Managers."""
        total = 0.0
        async with httpx2.AsyncClient(timeout=20) as client:
            for url in self.fleet.urls.values():
                page = (await client.get(f"{url}/metrics")).text
                for family in text_string_to_metric_families(page):
                    total += sum(
                        sample.value
                        for sample in family.samples
                        if sample.name == f"greenroom_manager_{name}" and labels.items() <= sample.labels.items()
                    )
        return total

    # Agents -------------------------------------------------------------------------------------------------------

    async def add_agent(self, name: str) -> Host:
        """Add an Agent; it is promoted when this returns."""
        folder = self.fleet.folder / name
        folder.mkdir()
        (folder / "token").write_text(await join_token(self.db))
        agent = await self.stack.enter_async_context(
            agent_inside(
                folder,
                manager_urls=",".join(self.gateway(n) for n in self.fleet.managers),
                join_token_file=folder / "token",
                ca_file=self.world.folder / "cert.pem",
            )
        )
        host = Host(agent)
        self.hosts.append(host)

        async def promoted() -> bool:
            rows = await self.db.fetch(
                "SELECT i.state FROM agents JOIN agent_images i USING (agent_id)"
                " WHERE agent_id = %s AND agents.status = 'running'",
                (agent.identity.agent_id,),
            )
            return any(row["state"] == "present" for row in rows)

        await eventually(promoted, STARTED_S)
        host.count()
        return host

    async def reported(self) -> set[tuple[str | None, int]]:
        """For all Agents: the Manager to which it reports, and the last term it received."""
        rows = (await self.api.get("/api/v1/agents")).json()
        names = {m["manager_id"]: m["instance_id"] for m in (await self.api.get("/api/v1/managers")).json()}
        return {(names.get(row["manager_id"]), row["manager_term"]) for row in rows}

    async def all_report_to_primary(self, *names: str, timeout_s: float = 40.0) -> dict[str, Any]:
        """Wait until one of these is Primary and all Agents report to it with its term; returns the leadership row."""

        async def all_there() -> dict[str, Any] | None:
            now = await leadership(self.db)
            is_one = now["primary"] in (names or self.fleet.managers)
            return now if is_one and await self.reported() == {(now["primary"], now["term"])} else None

        return await eventually(all_there, timeout_s)

    async def containers(self) -> set[str]:
        """Ids of the containers on all hosts."""
        return {one for host in self.hosts for one in await host.containers()}

    # Sessions -----------------------------------------------------------------------------------------------------

    async def new_user(self) -> str:
        """The id of a new user."""
        body = {"username": f"u-{uuid.uuid4().hex[:10]}@example.org"}
        return (await self.api.post("/api/v1/users", json=body)).json()["user_id"]

    async def launch(self) -> str:
        """Launch a session of a new user; returns its id. A refusal fails the test."""
        body = {"image_id": self.image_id, "user_id": await self.new_user()}
        answer = await self.api.post("/api/v1/sessions", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["session_id"]

    async def running(self, session_id: str, timeout_s: float = 40.0) -> dict[str, Any]:
        """Wait until it is usable; returns its row."""

        async def look() -> dict[str, Any] | None:
            (row,) = await self.db.fetch("SELECT * FROM sessions WHERE session_id = %s", (session_id,))
            assert row["status"] != "failed", row["error"]
            return row if row["status"] == "running" else None

        return await eventually(look, timeout_s)

    async def successor(self, session_id: str, timeout_s: float = 40.0) -> str:
        """Wait until another session replaces it; returns that session's id."""

        async def look() -> str | None:
            (row,) = await self.db.fetch(
                "SELECT superseded_by::text FROM sessions WHERE session_id = %s", (session_id,)
            )
            return row["superseded_by"]

        return await eventually(look, timeout_s)

    async def command(self, session_id: str, *argv: str) -> dict[str, Any]:
        """Run a command through the api; returns exit code and output."""
        body = {"command": list(argv), "deadline_s": 20}
        answer = await self.api.post(f"/api/v1/sessions/{session_id}/commands", json=body, timeout=40)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def end(self, session_id: str) -> None:
        """End a session and wait until its container is gone."""
        answer = await self.api.delete(f"/api/v1/sessions/{session_id}")
        assert answer.status_code == 202, answer.text

        await eventually(lambda: self.is_over(session_id))

    async def is_over(self, session_id: str) -> bool:
        """True if it ended, and its container is gone."""
        row = await self.db.fetch_one("SELECT status FROM sessions WHERE session_id = %s", (session_id,))
        return row is None or row["status"] == "deleted"

    async def drain(self, host: Host, draining: bool) -> None:
        """Set the drain of an Agent like an administrator."""
        agent_id = host.agent.identity.agent_id
        answer = await self.api.patch(f"/api/v1/agents/{agent_id}", json={"draining": draining})
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def own_database(cluster: PostgresCluster) -> AsyncGenerator[Database]:
    """A fresh, migrated database for the tests of a module."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(cluster.dsn, autocommit=True) as admin:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template_greenroom'.encode())
        db = Database(cluster.dsn.replace("dbname=greenroom", f"dbname={name}"), application_name="greenroom test")
        await db.open()
        try:
            yield db
        finally:
            await db.close()
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@asynccontextmanager
async def deployed_zone(db: Database, *names: str, agents: int = 1) -> AsyncGenerator[Zone]:
    """A zone with these Managers and Agents; everything works when the block begins.

    Args:
        db: the database of the test; nothing else uses it.
        names: the instance ids of its Managers.
        agents: the number of Agents.
    """
    await db.write(
        "INSERT INTO zones (zone_name, allow_origin_domain, upstream_auth_address)"
        " VALUES ('default', '127.0.0.1', '127.0.0.1:443')"
    )
    await ensure_first_data(
        db,
        image=IMAGE,
        admin_password_hash=hash_password("unused"),
        key_id=KEY[0],
        key_secret_hash=secret_digest(KEY[1]),
    )
    async with AsyncExitStack() as stack:
        world = await make_world()
        stack.push_async_callback(world.close)
        fleet = Fleet(db.dsn, world.folder)
        stack.callback(fleet.close)
        secrets = Secrets.from_file(fleet.key_file)
        config = ApiConfig(
            database_url=db.dsn,
            secret_key_file=fleet.key_file,
            public_url=world.main,
            ca_file=world.folder / "cert.pem",
        )
        logs = LogWriter(db, "api")
        writing = asyncio.create_task(logs.run())
        stack.callback(writing.cancel)
        app = create_app(config, db, secrets, logs)
        world.served["real api"] = await serve(app)
        world.plan["api"] = world.served["real api"].address
        (world.folder / "credential").write_text(secrets.gateway_credential())
        world.plan["managers"] = [_listener(fleet, name) for name in names]
        await world.start()
        api = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=world.main, verify=world.tls(), auth=KEY, timeout=15, trust_env=False)
        )
        zone = Zone(db, fleet, world, api, stack)
        await asyncio.gather(*(zone.start_manager(name) for name in names))
        await primary_is(db, *names)
        for number in range(agents):
            await zone.add_agent(f"agent-{number}")
        zone.image_id = (await api.get("/api/v1/images")).json()[0]["image_id"]
        yield zone


def _listener(fleet: Fleet, name: str) -> dict[str, str]:
    """Create a Manager; returns its entry in the gateway's plan."""
    listen = f"127.0.0.1:{free_port()}"
    fleet.make(name, gateway_url=f"https://{listen}", lease_ttl_s="6")
    folder = fleet.sentinel(name).parent
    folder.mkdir(parents=True)
    for part in (folder, folder.parent):
        part.chmod(0o755)
    return {
        "name": name,
        "zone": "default",
        "listen": listen,
        "upstream": fleet.urls[name].removeprefix("http://"),
        "sentinel_file": str(fleet.sentinel(name)),
    }
