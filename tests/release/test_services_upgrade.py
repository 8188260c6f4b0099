"""`greenroom upgrade --services` of two machines with Managers, and a broken role of the new version."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.machines import Machine
from tests.acceptance.several_hosts import IMAGE, MAIN, Deployment, Web, write_toml
from tests.support import systemctl
from tests.versions import BROKEN, POST, PRE, Versions

pytestmark = pytest.mark.timeout(900)


class UpgradableServices(Deployment):
    """Two machines, each with an api, a Manager and a gateway of the old version as services, and a database."""

    def __init__(self, versions: Versions) -> None:
        super().__init__()
        self.versions = versions
        self.passphrase_file = self.folder / "passphrase"
        self.passphrase_file.write_text("correct horse battery")

    def start(self) -> None:
        self._start_database()
        self._begin()
        stored = json.loads((self.folder / "credentials.json").read_text())
        self.key = (stored["api_key"], stored["api_key_secret"])
        for web in self.webs:
            folder = web.machine.folder
            systemctl.install(folder / "units")
            (folder / "greenroom").symlink_to(self.versions.old)
            (folder / "etc").mkdir()
            shutil.copy(self.folder / "installation.key", folder / "etc")
            self._start_web(web)
        for web in self.webs:
            wait_for(lambda web=web: self._answers(web), f"{web.machine.name} answers", 60)
        wait_for(lambda: all(m["status"] == "running" for m in self.managers()), "both Managers run", 60)

    def _begin(self) -> None:
        hosts = ",".join(web.machine.address for web in self.webs)
        argv = [str(self.versions.old), "setup", "installation", "--database-url", self.dsn]
        argv += ["--folder", str(self.folder), "--hosts", hosts, "--port", str(MAIN)]
        begun = self.webs[0].machine.start("setup", argv, {"GREENROOM_DESKTOP_IMAGE": IMAGE})
        assert begun.wait(120) == 0, self.webs[0].machine.log("setup")

    def _role(self, machine: Machine, role: str, settings: Mapping[str, object], **environment: str) -> None:
        write_toml(machine.folder / f"{role}.toml", settings)
        self._service(machine, role, environment)

    def _gateway(self, machine: Machine, folder: Path, settings: Mapping[str, object]) -> None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, *self.account)
        write_toml(machine.folder / "gateway.toml", {**settings, "gateway_dir": folder}).chmod(0o644)
        self._service(machine, "gateway", {}, self.account[0])

    def _service(self, machine: Machine, role: str, environment: Mapping[str, str], uid: int | None = None) -> None:
        config = {"GREENROOM_CONFIG": str(machine.folder / f"{role}.toml")}
        unit = systemctl.Unit(
            command=[str(machine.folder / "greenroom"), role], uid=uid, environment={**config, **environment}
        )
        unit.write(machine.folder / "units", f"greenroom-{role}")
        self.systemctl(machine, "restart", role)

    def systemctl(self, machine: Machine, verb: str, role: str) -> None:
        """Run `systemctl VERB` for a service of a machine."""
        program = machine.folder / "units/systemctl"
        subprocess.run([*machine.inside, program, verb, f"greenroom-{role}.service"], check=True)

    def upgrade(self, web: Web, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `greenroom upgrade --services` of the new version on a machine."""
        folder = web.machine.folder
        command = [
            *web.machine.inside,
            self.versions.new,
            "upgrade",
            "--services",
            "--json",
            "--folder",
            folder / "etc",
        ]
        command += ["--passphrase-file", self.passphrase_file, "--backup-folder", folder / "backups", *options]
        environment = {**os.environ, "PATH": f"{folder}/units:{os.environ['PATH']}"}
        return subprocess.run(
            list(map(str, command)), env=environment, umask=0o077, capture_output=True, text=True, check=False
        )

    def upgraded(self, web: Web, *options: str) -> Any:
        """The result of an upgrade that must succeed."""
        done = self.upgrade(web, *options)
        assert done.returncode == 0, done.stderr + self.logs()
        return json.loads(done.stdout.splitlines()[-1])

    def refused(self, web: Web) -> str:
        """The message of an upgrade that must fail."""
        done = self.upgrade(web)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]

    def return_with_backup(self, restore: str) -> None:
        """Return both machines to the old version, as the steps after the last upgrade say."""
        for web in self.webs:
            for role in ("manager", "api"):
                self.systemctl(web.machine, "stop", role)
        command = [*self.webs[0].machine.inside, *shlex.split(restore)]
        environment = {**os.environ, "GREENROOM_DATABASE_URL": self.dsn}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for web in self.webs:
            (web.machine.folder / "greenroom").unlink()
            (web.machine.folder / "greenroom").symlink_to(self.versions.old)
            for role in ("manager", "api", "gateway"):
                self.systemctl(web.machine, "restart", role)

    def states(self) -> list[tuple[str, bool, str]]:
        """The version, `enabled` and the program of each machine."""
        managers = {row["instance_id"]: row for row in self.sql("SELECT instance_id, version, enabled FROM managers")}
        links = {web.instance_id: str((web.machine.folder / "greenroom").readlink()) for web in self.webs}
        return [
            (managers[web.instance_id]["version"], managers[web.instance_id]["enabled"], links[web.instance_id])
            for web in self.webs
        ]

    def has_added_column(self) -> bool:
        return bool(
            self.sql("SELECT 1 FROM information_schema.columns WHERE (table_name, column_name) = ('zones', 'added')")
        )

    def logs(self) -> str:
        files = sorted(self.folder.glob("web-*/units/*.log"))
        return "".join(f"\n== {f.parts[-3]} {f.stem}\n{f.read_text(errors='replace')[-2500:]}" for f in files)


@pytest.fixture(scope="module")
def deployment(versions: Versions) -> Iterator[UpgradableServices]:
    deployment = UpgradableServices(versions)
    try:
        with deployment.people.entered():
            deployment.start()
            yield deployment
    finally:
        deployment.close()


def test_machines_are_upgraded_one_after_the_other_and_a_broken_role_returns(deployment: UpgradableServices):
    versions, (first, second) = deployment.versions, deployment.webs
    old, new = (
        (v, True, str(p)) for v, p in ((versions.old_version, versions.old), (versions.new_version, versions.new))
    )
    plan = deployment.upgraded(first, "--dry-run")
    assert [service["name"] for service in plan["services"]] == ["manager", "api", "gateway"]
    assert (plan["backup"], plan["pre_migrations"], plan["post_migrations"]) == (True, [PRE], [POST])
    assert [other["name"] for other in plan["others"]] == [second.instance_id]
    with psycopg.connect(deployment.dsn) as connection:
        connection.execute("SELECT pg_advisory_lock(73, 1)")
        assert "The upgrade or the restore of another machine is running" in deployment.refused(first)
    assert deployment.states() == [old, old]

    result = deployment.upgraded(first)
    assert result["replaced"] == ["manager", "api", "gateway"]
    assert [second.instance_id in line for line in result["waits"]] == [True]
    assert result["back"] == [f"{versions.old} upgrade --services --folder {first.machine.folder}/etc"]
    assert Path(result["backup"]).exists()
    assert (deployment.states(), deployment.has_added_column()) == ([new, old], True)

    with versions.planted("api/main.py", BROKEN):
        message = deployment.refused(second)
    assert "greenroom-api does not keep running: its state is failed" in message
    assert message.endswith(f"{versions.old} runs again.")
    assert (deployment.states(), deployment.has_added_column()) == ([new, old], True)
    assert deployment._answers(second)

    result = deployment.upgraded(second)
    assert (result["waits"], result["left"]) == ([], [])
    assert (deployment.states(), deployment.has_added_column()) == ([new, new], False)
    assert not list(second.machine.folder.glob("backups/*")), "the backup of the first machine is enough"
    assert deployment.upgraded(second) is None, "there is nothing to upgrade"

    deployment.return_with_backup(result["back"][1].partition(": ")[2])
    wait_for(lambda: deployment.states() == [old, old], "both machines run the old version", 60)
    assert deployment.sql("SELECT migrated_by FROM installation") == [{"migrated_by": versions.old_version}]
