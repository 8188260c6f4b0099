"""A deployment on several machines, with every role as a real process with a separate TOML file.

`db` has PostgreSQL; `web-1` and `web-2` each an api, a Manager and their web gateway; `host-1` and `host-2` each a
Docker daemon, an Agent and its edge gateway; `people` a browser. Waits of the Managers are short.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from psycopg.rows import dict_row
from tests.acceptance.instance import CRASH_LOOPS, wait_for
from tests.acceptance.machines import Machine, Network
from tests.support.gateways import account

from greenroom.db.database import Database
from greenroom.kit.certificates import Authority, key_to_pem, new_authority, new_key
from greenroom.up.account import Account
from greenroom.up.invariants import INVARIANTS, find_violations
from greenroom.up.postgres import PostgresCluster, copy_binaries

IMAGE = "greenroom/desktop:openbox"
MAIN, STREAM, EDGE = 8443, 8445, 8443
LEASE_S = 6.0
HOLD_S = 1.0
MISSING_S = 8.0
LOST_S = 20.0

_GATEWAY = """
import os, sys, tomllib, greenroom.gateway.main, greenroom.kit.program, httpx2, encodings.idna
uid, gid = int(sys.argv[1]), int(sys.argv[2])
os.setgroups([]); os.setgid(gid); os.setuid(uid)
greenroom.kit.program.run_role("gateway")
"""
"""A gateway as an ordinary account that may not be able to read this checkout."""


class Web:
    """A machine with api, Manager and web gateway, accessed with the first key."""

    def __init__(self, deployment: Deployment, machine: Machine) -> None:
        self.deployment = deployment
        self.machine = machine
        self.url = f"https://{machine.address}:{MAIN}"
        self.stream_url = f"https://{machine.address}:{STREAM}"

    @property
    def instance_id(self) -> str:
        """The instance id of its Manager."""
        return (self.machine.folder / "manager/instance_id").read_text().strip()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to /api/v1 that must succeed; returns its JSON, None without content."""
        answer = self.ask(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request to /api/v1."""
        with httpx2.Client(verify=self.ca(), auth=self.deployment.key, timeout=15, trust_env=False) as client:
            return client.request(method, f"{self.url}/api/v1{path}", **options)

    def ca(self) -> ssl.SSLContext:
        """A TLS context that trusts the gateways' authority and the fleet's, like a browser with the
        administrator's."""
        context = ssl.create_default_context(cadata=self.deployment.authority.certificate)
        for row in self.deployment.sql("SELECT certificate FROM fleet_authority"):
            context.load_verify_locations(cadata=row["certificate"])
        return context


class Deployment:
    """See the module docstring."""

    def __init__(self) -> None:
        self.network = Network()
        self.folder = self.network.folder
        self.authority: Authority = new_authority("Test authority", datetime.now(UTC))
        self.key = ("", "")
        self.account = account() or (os.getuid(), os.getgid())
        self.db = self.network.machine("db")
        self.webs = [Web(self, self.network.machine(f"web-{n}")) for n in (1, 2)]
        self.hosts = [self.network.machine(f"host-{n}") for n in (1, 2)]
        self.people = self.network.machine("people")

    @property
    def dsn(self) -> str:
        """The address of the database, over the network."""
        return f"host={self.db.address} port=5432 user=greenroom dbname=greenroom sslmode=disable"

    def sql(self, query: str, *params: Any) -> list[dict[str, Any]]:
        """The rows of a statement in the database."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.cursor(row_factory=dict_row).execute(query.encode(), params)
            return cursor.fetchall() if cursor.description else []

    # Starting -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; must be called on `people`."""
        loading = [self._start_docker(host) for host in self.hosts]
        self._start_database()
        self._begin()
        stored = json.loads((self.folder / "credentials.json").read_text())
        self.key = (stored["api_key"], stored["api_key_secret"])
        (self.folder / "ca.pem").write_text(self.authority.certificate)
        for web in self.webs:
            self._start_web(web)
        for web in self.webs:
            wait_for(lambda web=web: self._answers(web), f"{web.machine.name} answers")
        zone_id = self.webs[0].call("GET", "/zones")[0]["zone_id"]
        body = {"zone_id": zone_id, "uses": 2, "enable_agent": True}
        token = self.webs[0].call("POST", "/join-tokens", json=body)["token"]
        for done in loading:
            assert done.wait(120) == 0, "the image is loaded"
        for host in self.hosts:
            (host.folder / "join_token").write_text(token)
            self.start_agent(host)
            self.start_edge(host)
        wait_for(lambda: self.running_hosts() == ["host-1", "host-2"], "both Agents run", 60)

    def _start_docker(self, host: Machine) -> subprocess.Popen[bytes]:
        host.start_docker()
        pipe = f"docker save {IMAGE} | docker --host {host.docker_url} load --quiet"
        return subprocess.Popen(["bash", "-c", f"set -o pipefail; {pipe}"], stdout=subprocess.DEVNULL)

    def _start_database(self) -> None:
        owner = Account("greenroom")
        os.chown(self.db.folder, owner.uid, owner.gid)
        install = self.db.folder / "install"
        copy_binaries(install)
        cluster = PostgresCluster(install, self.db.folder, 5432, owner)
        cluster.create()
        with (cluster.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all greenroom samenet trust\n")  # a network without a route
        options = (f"listen_addresses={self.db.address}", "max_connections=100", "fsync=off")
        self.db.start("postgres", cluster.command(*options), {}, account=owner.uid)
        wait_for(self._database_answers, "PostgreSQL answers")

    def _database_answers(self) -> bool:
        try:
            return self.sql("SELECT 1 AS one") == [{"one": 1}]
        except psycopg.OperationalError:
            return False

    def _begin(self) -> None:
        """Run `greenroom setup installation` on the first web machine."""
        machine = self.webs[0].machine
        hosts = ",".join([machine.address, *(m.address for m in self.network.machines if m is not machine)])
        argv = [sys.executable, "-m", "greenroom", "setup", "installation", "--database-url", self.dsn]
        argv += ["--folder", str(self.folder), "--hosts", hosts, "--port", str(MAIN)]
        begun = machine.start("setup", argv, {"GREENROOM_DESKTOP_IMAGE": IMAGE})
        assert begun.wait(60) == 0, machine.log("setup")

    def _start_web(self, web: Web) -> None:
        machine = web.machine
        manager, gateway, tmp = (machine.folder / name for name in ("manager", "gateway", "draining"))
        for folder in (manager, gateway, tmp):
            folder.mkdir()
        self._certificate(gateway, machine.address)
        shutil.copy(self.folder / "gateway.credential", gateway / "credential")
        console = machine.folder / "console"
        console.mkdir()
        (console / "index.html").write_text("<!doctype html><title>console</title>")
        both = {"database_url": self.dsn, "secret_key_file": self.folder / "installation.key"}
        seen = {
            "public_url": web.url,
            "stream_url": web.stream_url,
            "served_hosts": ",".join(one.machine.address for one in self.webs),
        }
        self._role(machine, "api", {**both, **seen})
        sentinel = tmp / "kasm_manager_draining"
        self._role(
            machine,
            "manager",
            {
                **both,
                "manager_dir": manager,
                "sentinel_file": sentinel,
                "gateway_url": web.url,
                "lease_ttl_s": LEASE_S,
                "lease_renew_s": 0.6,
                "lease_margin_s": 0.5,
                "checkin_hold_s": HOLD_S,
                "agent_missing_s": MISSING_S,
                "session_lost_s": LOST_S,
                "handover_received_s": 6,  # LONGER_LIMITS of tests.acceptance.instance
                "handover_assigned_s": 12,
            },
        )
        self._gateway(
            machine,
            gateway,
            {
                **seen,
                "main_listen": f"0.0.0.0:{MAIN}",
                "stream_listen": f"0.0.0.0:{STREAM}",
                "tls_certificate": gateway / "server.pem",
                "tls_key": gateway / "server.key",
                "gateway_credential_file": gateway / "credential",
                "console_dir": console,
                "gateway_managers": [
                    {
                        "zone": "default",
                        "instance_id_file": str(manager / "instance_id"),
                        "sentinel_file": str(sentinel),
                    }
                ],
            },
        )

    def start_agent(self, host: Machine) -> None:
        """Start the Agent of a host; its edge gateway's folder belongs to that gateway's account."""
        edge = host.folder / "edge-files"
        edge.mkdir(exist_ok=True, mode=0o700)
        os.chown(edge, *self.account)
        self._role(
            host,
            "agent",
            {
                "agent_dir": host.folder / "agent",
                "manager_urls": ",".join(web.url for web in self.webs),
                "ca_file": self.folder / "ca.pem",
                "join_token_file": host.folder / "join_token",
                "docker_host": host.docker_url,
                "edge_url": f"https://{host.address}:{EDGE}",
                "edge_dir": edge,
            },
        )

    def start_edge(self, host: Machine) -> None:
        """Start the edge gateway of a host."""
        folder = host.folder / "gateway"
        folder.mkdir(exist_ok=True)
        self._gateway(
            host,
            folder,
            {
                "gateway_profile": "edge",
                "edge_dir": host.folder / "edge-files",
                "stream_listen": f"0.0.0.0:{EDGE}",
                "public_url": self.webs[0].url,
                "served_hosts": ",".join([host.address, *(web.machine.address for web in self.webs)]),
            },
        )

    def _gateway(self, machine: Machine, folder: Path, settings: Mapping[str, object]) -> None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, *self.account)
        uid, gid = self.account
        file = write_toml(machine.folder / "gateway.toml", {**settings, "gateway_dir": folder})
        file.chmod(0o644)
        argv = [sys.executable, "-c", _GATEWAY, str(uid), str(gid)]
        machine.start("gateway", argv, {"GREENROOM_CONFIG": str(file)})

    def _role(self, machine: Machine, role: str, settings: Mapping[str, object], **environment: str) -> None:
        file = write_toml(machine.folder / f"{role}.toml", settings)
        argv = [sys.executable, "-m", "greenroom", role]
        machine.start(role, argv, {"GREENROOM_CONFIG": str(file), **environment})

    def _certificate(self, folder: Path, address: str) -> None:
        key = new_key()
        (folder / "server.key").write_text(key_to_pem(key))
        signed = self.authority.sign(key.public_key(), [address], 1, datetime.now(UTC))
        (folder / "server.pem").write_text(signed)

    def _answers(self, web: Web) -> bool:
        try:
            return web.ask("GET", "/zones").is_success and [m["status"] for m in self.managers()].count("running") > 0
        except httpx2.TransportError:
            return False

    # Looking --------------------------------------------------------------------------------------------------------

    def managers(self, web: Web | None = None) -> list[dict[str, Any]]:
        """The Managers according to the api on a machine, by default the first."""
        return (web or self.webs[0]).call("GET", "/managers")

    def primary(self, web: Web | None = None) -> Web | None:
        """The machine whose Manager is Primary, according to the api on `web`."""
        primaries = {manager["instance_id"] for manager in self.managers(web) if manager["is_primary"]}
        return next((one for one in self.webs if one.instance_id in primaries), None)

    def term(self) -> int:
        """The term of the zone's leadership row."""
        return self.sql("SELECT term FROM zone_leases")[0]["term"]

    def broken(self) -> list[str]:
        """The violations of the database's invariants, except crash-looping roles: tests kill them again and again."""
        return asyncio.run(self._broken())

    async def _broken(self) -> list[str]:
        db = Database(self.dsn, application_name="several hosts")
        await db.open()
        try:
            invariants = [invariant for invariant in INVARIANTS if invariant.code not in CRASH_LOOPS]
            return [what for invariant in invariants for what in await find_violations(db, invariant)]
        finally:
            await db.close()

    def agent(self, host: Machine) -> dict[str, Any]:
        """A host's Agent according to the api."""
        return next(a for a in self.webs[0].call("GET", "/agents") if a["agent_id"] == self.agent_id(host))

    def agent_id(self, host: Machine) -> str:
        """The id of a host's Agent."""
        return (host.folder / "agent/agent_id").read_text().strip()

    def running_hosts(self) -> list[str]:
        """Hosts whose Agent is running and enabled."""
        agents = self.webs[0].call("GET", "/agents")
        running = {agent["agent_id"] for agent in agents if agent["status"] == "running" and agent["enabled"]}
        known = [host for host in self.hosts if (host.folder / "agent/agent_id").exists()]
        return [host.name for host in known if self.agent_id(host) in running]

    def logs(self) -> str:
        """The end of each log, for the message of a failed test."""
        files = sorted(self.folder.glob("*/*.log"))
        return "".join(f"\n== {f.parent.name} {f.stem}\n{f.read_text(errors='replace')[-2500:]}" for f in files)

    def close(self) -> None:
        """Remove everything."""
        self.network.close()


def running_deployment() -> Iterator[Deployment]:
    """A started deployment, seen from the machine `people`; removed at the end."""
    deployment = Deployment()
    try:
        with deployment.people.entered():
            try:
                deployment.start()
            except AssertionError as error:
                raise AssertionError(f"{error}{deployment.logs()}") from error
            yield deployment
    finally:
        deployment.close()


def write_toml(file: Path, values: Mapping[str, object]) -> Path:
    """Write a TOML file, readable only by its owner, with texts, numbers, paths and lists of tables of texts."""
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)
    return file


def _toml(value: object) -> str:
    if isinstance(value, list):
        tables = (", ".join(f"{name} = {_toml(text)}" for name, text in table.items()) for table in value)
        return f"[{', '.join(f'{{ {table} }}' for table in tables)}]"
    return json.dumps(value if isinstance(value, int | float) else str(value))
