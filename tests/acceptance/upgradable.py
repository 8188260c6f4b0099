"""An instance of an old version that is upgraded to a new one; its sessions are simulated."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.instance import Instance
from tests.versions import Versions, run

from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.runtimes.simulated_host import SimulationSettings
from greenroom.up.layout import Layout

UMASK = 0o077
"""The restrictive umask of all commands: the accounts of the services can read what they need in spite of it."""


class Upgradable(Instance):
    """An instance of the old version with two Managers. `program` is that of the old version."""

    def __init__(self, versions: Versions) -> None:
        super().__init__("--managers", "2", GREENROOM_RUNTIME="simulated")
        self.versions = versions
        self.program = (str(versions.old),)
        self.passphrase_file = self.folder / "passphrase"
        self.passphrase_file.write_text("correct horse battery")
        self.backups = self.folder / "data-backups"

    @property
    def layout(self) -> Layout:
        return Layout(self.data)

    @property
    def upgrade_command(self) -> list[str]:
        """The command that upgrades the instance to the new version."""
        words = ("upgrade", "--data", self.data, "--passphrase-file", self.passphrase_file)
        return [str(self.versions.new), *map(str, words)]

    def simulate(self, settings: SimulationSettings) -> None:
        """Set the behavior of the simulated host."""
        SimulatedRuntime("", "", folder=self.layout.agent("agent-default")).configure(settings)

    def command(self, program: Path, *words: str) -> str:
        """Run `greenroom …` of a version for this instance; returns its stdout."""
        return run(program, *words, "--data", self.data, env=self.variables, umask=UMASK)

    def upgrade(self, *options: str) -> list[str]:
        """Upgrade to the new version; returns the printed lines."""
        return run(*self.upgrade_command, *options, env=self.variables, umask=UMASK).splitlines()

    def upgrade_fails(self, *options: str, program: Path | None = None) -> str:
        """Run an upgrade that fails, by default to the new version; returns its message."""
        command = [str(program or self.versions.new), *self.upgrade_command[1:], *options]
        done = subprocess.run(command, env=self.variables, umask=UMASK, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]

    def begin_upgrade(self, step: str, *options: str) -> subprocess.Popen[str]:
        """Start an upgrade, and return its process when it begins a step."""
        command = [*self.upgrade_command, *options]
        process = subprocess.Popen(
            command, env=self.variables, umask=UMASK, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr
        lines = list[str]()
        for line in process.stderr:
            lines.append(line)
            if line.startswith(step):
                return process
        raise AssertionError(f"the upgrade did not reach {step!r}: {''.join(lines)}")

    def plan(self) -> dict[str, Any]:
        """The changes that an upgrade to the new version would make."""
        return json.loads(self.command(self.versions.new, "upgrade", "--dry-run", "--json"))

    def role_versions(self) -> set[str]:
        """The versions of the roles that the new version would replace."""
        return {role["version"] for role in self.plan()["roles"]}

    def columns(self, table: str = "zones") -> set[str]:
        """The columns of a table."""
        query = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s"
        return {row["column_name"] for row in self.sql(query, table)}

    @property
    def variables(self) -> dict[str, str]:
        """The environment of each command."""
        return {**os.environ, **self.environment}
