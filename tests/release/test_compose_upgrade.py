"""`greenroom upgrade`, `backup` and `restore` with --compose: from 0.1.0 to a planted 0.2.0, and back.

The images of 0.2.0 have a layer with another version and two migrations. The tests build on each other in this order.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import pytest
from script.release_files import deployment_files
from tests.acceptance.compose_hosts import ROOT, ComposeHost, working_host
from tests.acceptance.instance import wait_for
from tests.acceptance.open_desktop import is_streamed

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

OLD, NEW = "0.1.0", "0.2.0"
ROLES: Final = ("api", "manager", "gateway", "agent", "db")
SERVICES: Final = ("kasm_db", "kasm_manager", "kasm_api", "kasm_proxy", "kasm_agent")
MIGRATIONS: Final = {
    "9001_pre_added.sql": "ALTER TABLE zones ADD COLUMN added integer",
    "9004_post_removed.sql": "ALTER TABLE zones DROP COLUMN added",
}
SHORT_STEADY_S: Final = 2.0
"""The time for which a container must run; tests/host/test_upgrade.py tests the real one."""
TIME_LIMIT_S: Final = 300.0
"""The time limit of the upgrade for a container on a busy machine."""
LIBRARY: Final = "/opt/greenroom/lib"
COLUMNS: Final = "SELECT column_name FROM information_schema.columns WHERE table_name = 'zones'"


class UpgradableHost(ComposeHost):
    """A host that runs the release 0.1.0, with the images, the compose files and the command of 0.2.0.

    Args:
        machine: a machine without a Docker daemon.
        settings: the content of its .env.
    """

    def start(self) -> None:
        """Start its Docker daemon, and create the folder of each release."""
        super().start()
        env = self.folder / ".env"
        for version in (OLD, NEW):
            for name, content in deployment_files(ROOT, version).items():
                file = self.release(version).parent / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        self.folder = self.release(OLD)
        shutil.copy(env, self.folder)
        self._write_program()

    def release(self, version: str) -> Path:
        """The folder with the compose files of a release."""
        return self.machine.folder / f"greenroom-deploy-{version}/compose"

    def _write_program(self) -> None:
        """Write the command `greenroom` of 0.2.0: the packages of this checkout with another version."""
        site, packages = self.machine.folder / "site", sorted(ROOT.glob("packages/*/src"))
        for source in (ROOT / "src", *packages):
            shutil.copytree(source, site, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for name, statement in MIGRATIONS.items():
            (site / "greenroom/db/migrations" / name).write_text(statement)
        facts = Path(str(distribution("greenroom").locate_file(f"greenroom-{OLD}.dist-info")))
        shutil.copytree(facts, site / f"greenroom-{NEW}.dist-info")
        metadata = site / f"greenroom-{NEW}.dist-info/METADATA"
        metadata.write_text(metadata.read_text().replace(f"\nVersion: {OLD}", f"\nVersion: {NEW}"))
        self.program = self.machine.folder / "greenroom"
        lines = [f"#!{sys.executable} -P", "import sys", f"sys.path.insert(0, {str(site)!r})"]
        for module in ("greenroom.up.compose", "greenroom.upgrade.compose"):
            lines += [f"import {module}", f"{module}.READY_WITHIN_S = {TIME_LIMIT_S}"]
        lines += ["import greenroom.upgrade.waiting", f"greenroom.upgrade.waiting.STEADY_S = {SHORT_STEADY_S}"]
        self.program.write_text("\n".join([*lines, "from greenroom.cli.main import main", "main()", ""]))
        self.program.chmod(0o755)
        self.passphrase_file = self.machine.folder / "passphrase"
        self.passphrase_file.write_text("correct horse battery staple")

    def load(self, images: Path) -> None:
        """Load the images, give those of the roles the tag of 0.1.0, and build those of 0.2.0."""
        super().load(images)
        for role in ROLES:
            self.run("docker", "tag", f"greenroom/{role}:latest", f"greenroom/{role}:{OLD}")
            self.build(role)

    def build(self, role: str, *lines: str) -> None:
        """Build the image of a role of 0.2.0, with more lines of its Dockerfile."""
        context = self.machine.folder / "context"
        context.mkdir(exist_ok=True)
        for name, statement in MIGRATIONS.items():
            (context / name).write_text(statement)
        shutil.copy(self.machine.folder / f"site/greenroom-{NEW}.dist-info/METADATA", context)
        copies = [
            f"COPY *.sql {LIBRARY}/greenroom/db/migrations/",
            f"COPY METADATA {LIBRARY}/greenroom-{OLD}.dist-info/",
        ]
        (context / "Dockerfile").write_text("\n".join([f"FROM greenroom/{role}:{OLD}", *copies, *lines]))
        self.run("env", "DOCKER_BUILDKIT=0", "docker", "build", "--tag", f"greenroom/{role}:{NEW}", str(context))

    def greenroom(self, *words: str, fails: bool = False) -> str:
        """Run the command of 0.2.0 for the compose files of 0.2.0; returns its output, or its last line if it fails."""
        done = self.run(str(self.program), *words, "--compose", str(self.release(NEW)), check=False)
        said = done.stdout + done.stderr
        assert done.returncode == int(fails), said
        return done.stderr.splitlines()[-1] if fails else done.stdout

    def upgrade(self, *, fails: bool = False) -> str:
        """Run the upgrade; returns as `greenroom`."""
        return self.greenroom("upgrade", "--passphrase-file", str(self.passphrase_file), fails=fails)

    def versions(self) -> set[str]:
        """The versions in its containers."""
        return {self.run("docker", "exec", name, "greenroom", "--version").stdout.split()[1] for name in SERVICES}

    def sql(self, statement: str) -> list[str]:
        """The first column of the rows."""
        psql = f'$(echo /usr/lib/postgresql/*/bin)/psql -h /tmp -U postgres -Atc "{statement}" greenroom'
        return self.run("docker", "exec", "kasm_db", "sh", "-c", psql).stdout.split()

    def streams(self, session: dict[str, Any]) -> None:
        """Wait until the stream of a session opens."""
        with self.machine.entered():
            wait_for(lambda: is_streamed(self, session["session_id"]), "the desktop is streamed", 60)


@pytest.fixture(scope="module")
def host(role_images: list[str], openbox_image: str) -> Iterator[UpgradableHost]:
    """The host in operation."""
    create = partial(UpgradableHost, GREENROOM_DESKTOP_IMAGE=openbox_image)
    with working_host(create, *role_images, openbox_image) as host:
        yield host


@pytest.fixture(scope="module")
def session(host: UpgradableHost) -> dict[str, Any]:
    """A desktop that runs during the upgrades."""
    return host.session_of("ann@example.org")


def container_of(host: ComposeHost, session: dict[str, Any]) -> str:
    """The id of the container of a session, and since when it runs."""
    label = f"label=greenroom.session={session['session_id']}"
    return host.run("docker", "ps", "--filter", label, "--format", "{{.ID}} {{.CreatedAt}}").stdout


def test_a_dry_run_shows_the_services_and_migrations(host: UpgradableHost):
    said = host.greenroom("upgrade", "--dry-run", fails=True)
    assert "has no settings; run: cp " in said
    host.on_terminal(said.partition("run: ")[2])
    plan = json.loads(host.greenroom("upgrade", "--dry-run", "--json"))
    assert [role["name"] for role in plan["roles"]] == list(SERVICES)
    assert (plan["current"], plan["new"]) == (OLD, NEW)
    assert (plan["pre_migrations"], plan["post_migrations"]) == (["9001_pre_added.sql"], ["9004_post_removed.sql"])
    assert host.versions() == {OLD}


def test_a_service_that_does_not_start_returns_all_services(host: UpgradableHost, session: dict[str, Any]):
    before = container_of(host, session)
    host.build("api", 'CMD ["greenroom", "manager"]')
    said = host.upgrade(fails=True)
    assert "kasm_api does not keep running: its process ended 2 times" in said
    assert said.endswith(f"Greenroom {OLD} runs again.")
    assert host.versions() == {OLD}
    assert "added" in host.sql(COLUMNS)
    host.wait_until_it_works()
    host.streams(session)
    assert container_of(host, session) == before


def test_an_upgrade_keeps_sessions_and_its_last_lines_lead_back(host: UpgradableHost, session: dict[str, Any]):
    before = container_of(host, session)
    host.build("api")
    said = host.upgrade().splitlines()
    assert said[0] == f"Greenroom {NEW} runs."
    assert host.versions() == {NEW}
    assert "added" not in host.sql(COLUMNS)
    host.streams(session)
    assert container_of(host, session) == before
    assert host.greenroom("upgrade", "--dry-run").startswith(f"The instance runs Greenroom {NEW}; there is nothing")

    host.call("POST", "/users", json={"username": "later@example.org"})
    home = host.current / "homes/later"
    home.write_text("newer than the backup")
    stop, restore, start = said[-3:]
    backup = restore.partition(" restore ")[2].split()[0]
    key, database = ("--passphrase-file", str(host.passphrase_file)), (host.current / "db").stat().st_ino
    assert "kasm_db runs; stop" in host.greenroom("restore", backup, "--replace", *key, fails=True)
    host.on_terminal(stop)
    assert "already contains a deployment" in host.greenroom("restore", backup, *key, fails=True)
    host.build("api", f"COPY METADATA {LIBRARY}/greenroom/db/migrations/9002_pre_wrong.sql")
    said = host.greenroom("restore", backup, "--replace", *key, fails=True)
    assert "The migration 9002_pre_wrong.sql failed" in said
    assert (host.current / "db").stat().st_ino == database, "the replaced files are back"
    assert home.exists()

    host.on_terminal(f"{restore} {' '.join(key)}\n{start}")
    host.wait_until_it_works()
    assert host.versions() == {OLD}
    names = {user["username"] for user in host.call("GET", "/users")}
    assert names & {"ann@example.org", "later@example.org"} == {"ann@example.org"}
    assert home.read_text() == "newer than the backup"
    host.streams(session)
