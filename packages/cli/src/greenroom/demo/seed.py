"""Fills a new instance with the data of the demo, and adds the incident."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx2

from greenroom.client import Greenroom
from greenroom.db.database import Database
from greenroom.db.pool.history import store_hourly_counts
from greenroom.demo import artwork, hosts, objects, rows, sessions
from greenroom.demo.events import past_audit_events, past_log_rows
from greenroom.demo.history import DemoWorld, InventedHost, PastLaunch, failed_pulls, past_launches
from greenroom.demo.hosts import DemoHost, Hosts, folder_of
from greenroom.demo.incident import report_certificate
from greenroom.demo.objects import CreatedObjects
from greenroom.demo.plan import (
    CORES,
    GB,
    MEDICAL,
    SHORT_OF_CORES,
    SHORT_OF_IMAGE,
    WORKSPACES,
    ZONES,
    DemoSize,
    Language,
    hostname,
    manager_host,
)
from greenroom.demo.series import write_past_series
from greenroom.kit.secrets import Secrets, new_secret, secret_digest
from greenroom.runtimes.simulated_host import SimulationSettings
from greenroom.up import installation
from greenroom.up.layout import write_text
from greenroom.up.progress import InstanceDescription, Progress
from greenroom.up.site import Site

DatabaseWork = Callable[[Database], Awaitable[None]]
_HOST_GB: Final = 256
_DISK_FREE: Final = 180 * GB
_LITTLE_DISK: Final = 3 * GB
"""The free disk of the host without space in the incident; a host keeps 5 GB."""
_PROGRAMS: Final = frozenset({"/opt/greenroom/open"})
"""The programs that the workspaces of the catalogue start at the assignment of a session."""
_KEY_EXPIRES: Final = timedelta(days=5)
"""The time until an API key ends in the incident."""
_AUDIT_EVENTS: Final = 0.3
"""The number of audit events, as a fraction of the number of log rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The options of `greenroom demo`."""

    language: Language
    seed: int
    size: DemoSize
    incident: bool


@dataclass
class Seeding:
    """The work on one instance."""

    site: Site
    description: InstanceDescription
    options: DemoOptions
    password: str
    progress: Progress

    def __post_init__(self) -> None:
        self.now = datetime.now(UTC)
        self.launches: list[PastLaunch] = []

    def run(self) -> None:
        """Create all data. Raises GreenroomError: a part of the instance refuses, or is not ready in time."""
        key, secret = self.description.api_key or "", self.description.api_key_secret or ""
        url, ca_file = self.description.url, self.description.ca_file
        with Greenroom(url, key, secret, ca_file, trust_env=False) as greenroom:
            made = CreatedObjects(greenroom, self.options.language, self.options.size, self.password)
            self._simulate({})
            with self.progress.step("Creating people and workspaces"):
                objects.name_installation(made)
                objects.create_groups(made)
                objects.create_workspaces(made)
                objects.create_people(made)
                objects.create_programs(made)
            with self.progress.step("Starting the hosts"):
                self._simulate({workspace.image: workspace.name for workspace in made.workspaces.values()})
                self._start_hosts()
                sessions.wait_for_hosts(made, sum(self.options.size.hosts.values()))
            with self.progress.step("Filling the pools"):
                self._name_hosts(made)
                objects.create_pools(made)
                sessions.wait_for_pools(made)
            world = self._world(made)
            with self.progress.step("Writing the history of 30 days"):
                self._in_database(lambda db: self._write_launches(db, world))
            with self.progress.step("Launching sessions"):
                ages_s = sessions.launch_sessions(made, world, self._chance("sessions"))
                ages_s |= sessions.lease_sessions(made, url, ca_file)
                sessions.wait_for_sessions(made)
                sessions.share_sessions(made, self._log_in)
                sessions.wait_for_pools(made)  # a webhook would report a pool that is short
            objects.create_webhooks(made)
            with self.progress.step("Writing logs and the audit"):
                self._in_database(lambda db: self._write_logs(db, world, ages_s))
            if self.options.incident:
                with self.progress.step("Causing an incident"):
                    self._cause_incident(made, world)
            with self.progress.step("Writing the time series"):
                self._in_database(
                    lambda db: write_past_series(db, self.launches, made.zone_ids, self._chance("series"))
                )

    # Hosts ----------------------------------------------------------------------------------------------------------

    def _host_names(self) -> list[tuple[str, str]]:
        """Return (zone, name) of each host of the process `hosts`."""
        sizes = self.options.size.hosts
        return [(zone, hostname(zone, number)) for zone in ZONES for number in range(2, sizes[zone] + 1)]

    def _simulate(self, names: dict[str, str]) -> None:
        """Set the behavior of all hosts. In the incident, they cannot get the image of one workspace, and the last host
        has little disk. `names` maps images to names of workspaces, which sessions show."""
        incident = self.options.incident
        screens = artwork.write_screens(hosts.demo_folder(self.site.layout) / "screens", names)
        missing = frozenset(each.image for each in WORKSPACES if incident and each.key == SHORT_OF_IMAGE.workspace)
        loads = random.Random(self.options.seed)  # noqa: S311 -- as above
        folders = [agent.folder for agent in self.site.agents]
        folders += [folder_of(self.site.layout, name) for _, name in self._host_names()]
        for number, folder in enumerate(folders):
            hosts.simulate(
                folder,
                SimulationSettings(
                    create_s=0.1,
                    start_s=0.2,
                    paint_s=0.4,
                    cores=64.0 if number >= len(self.site.agents) else 64.0 * len(self.site.agents),
                    memory_bytes=_HOST_GB * GB * (1 if number >= len(self.site.agents) else len(self.site.agents)),
                    cpu=round(loads.uniform(0.12, 0.68), 2),
                    disk_free_bytes=_LITTLE_DISK if incident and number == len(folders) - 1 else _DISK_FREE,
                    programs=_PROGRAMS,
                    missing_images=missing,
                    broken_images=missing,
                    screens=screens,
                ),
            )

    def _start_hosts(self) -> None:
        layout = self.site.layout
        tokens: list[tuple[str, str]] = []
        for zone, name in self._host_names():
            tokens.append((zone, new_secret()))
            folder_of(layout, name).mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text(folder_of(layout, name) / "join_token", f"{tokens[-1][1]}\n", 0o600)

        async def allow_joins(db: Database) -> None:
            for zone, token in tokens:
                await installation.allow_join(db, secret_digest(token), zone)

        self._in_database(allow_joins)
        self._write_hosts(())
        hosts.start(layout)

    def _write_hosts(self, missing: tuple[str, ...]) -> None:
        urls = manager_urls(self.site)
        Hosts(
            hosts=tuple(
                DemoHost(name=name, zone=zone, manager_urls=urls[zone], runs=name not in missing)
                for zone, name in self._host_names()
            )
        ).write(self.site.layout)

    def _name_hosts(self, made: CreatedObjects) -> None:
        """Name the hosts of the instance, and set the cores that each host offers."""
        self._in_database(lambda db: name_hosts(db, self.site))
        for agent in made.rows("/agents"):
            made.patch(f"/agents/{agent['agent_id']}", {"cores_override": CORES})

    # History --------------------------------------------------------------------------------------------------------

    def _world(self, made: CreatedObjects) -> DemoWorld:
        agents = made.rows("/agents")
        by_zone = {
            zone: sorted(
                (InventedHost(agent["agent_id"], agent["hostname"]) for agent in agents if agent["zone_name"] == zone),
                key=lambda host: host.name,
            )
            for zone in ZONES
        }
        return DemoWorld(
            users=list(made.users.values()),
            workspaces=list(made.workspaces.values()),
            zone_ids=made.zone_ids,
            pools=made.pools,
            hosts=by_zone,
        )

    async def _write_launches(self, db: Database, world: DemoWorld) -> None:
        size, chance = self.options.size, self._chance("launches")
        self.launches = list(past_launches(world, self.now, size.launches, chance, counts_as=size.counts_as))
        await rows.insert_launches(db, self.launches, world.zone_ids)
        await rows.backdate_objects(db)
        await store_hourly_counts(db)

    async def _write_logs(self, db: Database, world: DemoWorld, ages_s: dict[str, float]) -> None:
        number = self.options.size.log_rows
        await rows.backdate_sessions(db, ages_s)
        await rows.rewrite_logs(db, past_log_rows(world, self.launches, self.now, number, self._chance("logs")))
        events = past_audit_events(world, self.launches, self.now, int(number * _AUDIT_EVENTS), self._chance("audit"))
        await rows.rewrite_audit(db, Secrets.from_file(self.site.layout.key_file), events, ages_s)

    # The incident ---------------------------------------------------------------------------------------------------

    def _cause_incident(self, made: CreatedObjects, world: DemoWorld) -> None:
        """Cause the problems of a bad morning. Each is real: the instance itself finds it."""
        objects.create_pool(made, SHORT_OF_IMAGE)
        imaging = made.pools.get(("imaging", MEDICAL))
        if imaging is not None:
            made.patch(f"/staging-configs/{imaging}", {"num_sessions": SHORT_OF_CORES})
        failed = list(failed_pulls(world, self.now, self._chance("pulls")))
        self._in_database(lambda db: rows.insert_launches(db, failed, world.zone_ids))
        sessions.wait_for_failed_image(made, SHORT_OF_IMAGE.workspace)
        sessions.fail_launches(made, world, self._chance("failures"), SHORT_OF_IMAGE.workspace)
        with self._client() as client:
            sessions.refuse_users(client, made, self._log_in)
        report_certificate(self.site, datetime.now(UTC))
        expires = (self.now + _KEY_EXPIRES).isoformat()
        made.post("/api-keys", {"name": "timetable", "permissions": ["sessions_view"], "expires": expires})
        standby = [manager for manager in made.rows("/managers") if not manager["is_primary"]]
        if standby:
            made.patch(f"/managers/{standby[0]['manager_id']}", {"enabled": False})
        self._write_hosts((self._host_names()[0][1],))

    # Helpers --------------------------------------------------------------------------------------------------------

    def _chance(self, part: str) -> random.Random:
        """Return the source of random numbers for a part of the data, which does not depend on the other parts."""
        return random.Random(f"{self.options.seed} {part}")  # noqa: S311 -- chooses invented data, protects nothing

    def _client(self) -> httpx2.Client:
        tls = ssl.create_default_context(cafile=self.description.ca_file)
        headers = {"Origin": self.description.url}
        return httpx2.Client(base_url=self.description.url, verify=tls, headers=headers, trust_env=False)

    def _log_in(self, username: str) -> httpx2.Client:
        client = self._client()
        body = {"username": username, "password": self.password}
        client.post("/api/v1/login", json=body).raise_for_status()
        return client

    def _in_database(self, work: DatabaseWork) -> None:
        run_in_database(self.site.dsn, work)


def manager_urls(site: Site) -> dict[str, str]:
    """Return the addresses of the Managers of each zone, separated by commas."""
    return {zone: ",".join(each.gateway_url for each in site.managers_of(zone)) for zone in ZONES}


async def name_hosts(db: Database, site: Site) -> None:
    """Set the host names of the Agents and Managers of an instance. At their start, they store that of this machine."""
    agents = {agent.agent_id: hostname(agent.zone, 1) for agent in site.agents}
    managers = {each.instance_id: manager_host(each.zone, number) for number, each in enumerate(site.managers)}
    await db.write(
        "UPDATE agents a SET hostname = n.name FROM unnest(%s::uuid[], %s::text[]) AS n (id, name)"
        " WHERE n.id = a.agent_id",
        (list(agents), list(agents.values())),
    )
    await db.write(
        "UPDATE managers m SET hostname = n.name FROM unnest(%s::text[], %s::text[]) AS n (id, name)"
        " WHERE n.id = m.instance_id",
        (list(managers), list(managers.values())),
    )


def run_in_database(dsn: str, work: DatabaseWork) -> None:
    """Run `work` with a connection to the database that has no time limit for statements."""

    async def run() -> None:
        db = Database(dsn, application_name="greenroom demo", max_size=1, statement_timeout_ms=0)
        await db.open()
        try:
            await work(db)
        finally:
            await db.close()

    asyncio.run(run())
