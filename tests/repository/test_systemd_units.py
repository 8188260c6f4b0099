"""The units in deploy/systemd: one for each hardened role, one for an instance, one for backups, and what systemd finds
wrong with them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from greenroom.cli.backup import backup
from greenroom.cli.lazy import build_command
from greenroom.kit import config
from greenroom.up.commands import DOWN_WITHIN_S

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
ROLES = {
    "api": config.ApiConfig,
    "manager": config.ManagerConfig,
    "agent": config.AgentConfig,
    "gateway": config.GatewayConfig,
}


def settings(role: str) -> dict[str, list[str]]:
    """Name → values of the settings of a role's unit."""
    return read_settings(f"greenroom-{role}.service")


def read_settings(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (FOLDER / unit).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_each_role_has_its_unit():
    names = {f"greenroom-{name}.service" for name in (*ROLES, "backup")}
    assert {file.name for file in FOLDER.glob("*.service")} == names | {"greenroom.service"}
    for role in ROLES:
        assert settings(role)["ExecStart"] == [f"/usr/local/bin/greenroom {role}"]


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_sets_what_its_role_reads(role: str):
    known = {f"GREENROOM_{name.upper()}" for name in ROLES[role].model_fields} | {"GREENROOM_CONFIG"}
    assert {value.partition("=")[0] for value in settings(role)["Environment"]} <= known


@pytest.mark.parametrize("role", ROLES)
def test_a_role_starts_again_and_gains_no_rights(role: str):
    unit = settings(role)
    assert (unit["Restart"], unit["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert unit["NoNewPrivileges"] == ["yes"]
    assert len(unit["CapabilityBoundingSet"]) == 1
    if role != "agent":
        assert (unit["User"], unit["ProtectSystem"], unit["PrivateDevices"]) == (["greenroom"], ["strict"], ["yes"])


def test_the_gateway_sees_the_managers_sentinel():
    """Both have a /tmp of their own."""
    (sentinel,) = (v for v in settings("manager")["Environment"] if v.startswith("GREENROOM_SENTINEL_FILE="))
    assert sentinel.partition("=")[2].startswith("/var/lib/greenroom-manager/")


def test_what_must_outlive_a_role_is_not_killed_with_it():
    assert [settings(role).get("KillMode") for role in ("gateway", "agent")] == [["process"], ["process"]]


def test_the_unit_of_an_instance_leaves_the_end_of_its_processes_to_up():
    """Only `up` ends the sessions before the database, within the time that `greenroom down` waits."""
    unit = read_settings("greenroom.service")
    assert unit["ExecStart"] == ["/usr/local/bin/greenroom up $UP_OPTIONS"]
    assert (unit["KillMode"], unit["OOMPolicy"]) == (["mixed"], ["continue"])
    assert [float(value) for value in unit["TimeoutStopSec"]] == [DOWN_WITHIN_S]
    assert unit["StandardOutput"] == ["null"], "the first start prints a password"


def test_the_backup_unit_runs_a_command_with_known_options():
    (command,) = settings("backup")["ExecStart"]
    program, name, folder, *options = command.split()
    assert (program, name, folder) == ("/usr/local/bin/greenroom", "backup", "/var/backups/greenroom")
    known = {option for parameter in build_command("backup", backup).params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    "name", [".service", *(f"-{role}.service" for role in ROLES), "-backup.service", "-backup.timer"]
)
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path):
    for file in FOLDER.glob("greenroom*"):
        (tmp_path / file.name).write_text(file.read_text().replace("/usr/local/bin/greenroom", "/bin/true"))
    unit = tmp_path / f"greenroom{name}"
    done = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert ours == []
