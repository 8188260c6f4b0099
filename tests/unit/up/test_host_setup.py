"""The plan of `greenroom host setup` and of its undo."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.cli import host as command
from greenroom.core.errors import SetupError
from greenroom.core.fleet.host_limits import LIMITS
from greenroom.kit import host_limits
from greenroom.up import host_programs, host_setup
from greenroom.up.host_limits import LimitChange
from greenroom.up.host_setup import (
    REQUIREMENTS,
    Host,
    Record,
    Requirement,
    Setup,
    SetupStep,
    delete_record,
    plan,
    plan_undo,
    read_record,
    support_warning,
)

PACKAGES = frozenset(needed.package for needed in REQUIREMENTS)
ENOUGH = {limit.name: limit.required for limit in LIMITS if limit.is_kernel_setting}
READY = Host(
    system="debian",
    release="12",
    machine="x86_64",
    is_root=True,
    has_systemd=True,
    has_apt=True,
    is_interrupted=False,
    installed=PACKAGES,
    programs=frozenset(),
    docker="running",
    containers=0,
    limits=ENOUGH,
)


def test_a_ready_host_needs_nothing():
    assert plan(READY) == []


def installed(steps: list[SetupStep]) -> set[str]:
    return {subject for step in steps if step.action == "install" for subject in step.subjects}


@given(st.sets(st.sampled_from(sorted(PACKAGES))), st.booleans())
def test_exactly_the_missing_packages_are_installed_and_then_none(missing: set[str], has_systemd: bool):
    host = replace(READY, installed=PACKAGES - missing, has_systemd=has_systemd)
    # Whether docker.io has the command docker is known only after its installation.
    assert installed(plan(host)) == missing - ({"docker-cli"} if "docker.io" in missing else set())
    after = replace(host, installed=host.installed | installed(plan(host)), programs=frozenset({"docker"}))
    assert plan(after) == []


@pytest.mark.parametrize("needed", REQUIREMENTS, ids=lambda needed: needed.package)
def test_a_program_from_another_source_is_kept(needed: Requirement):
    host = replace(READY, installed=PACKAGES - {needed.package}, programs=frozenset({needed.program}))
    assert plan(host) == []


def test_a_service_is_disabled_only_if_its_package_is_installed_now():
    steps = plan(replace(READY, installed=PACKAGES - {"nginx-light"}))
    assert [(step.action, step.subjects) for step in steps] == [("install", ("nginx-light",)), ("disable", ("nginx",))]


def test_docker_cli_is_installed_if_docker_io_is_installed_without_the_command():
    assert installed(plan(replace(READY, installed=PACKAGES - {"docker-cli"}))) == {"docker-cli"}


def test_docker_is_not_installed_for_a_remote_daemon():
    assert plan(replace(READY, docker="remote", installed=PACKAGES - {"docker.io"})) == []


def test_an_unreachable_remote_daemon_is_an_error():
    with pytest.raises(SetupError, match="DOCKER_HOST"):
        plan(replace(READY, docker="unreachable"))


def test_an_interrupted_installation_of_packages_is_completed_first():
    steps = plan(replace(READY, is_interrupted=True, docker="stopped", installed=PACKAGES - {"squid-openssl"}))
    assert [step.action for step in steps] == ["repair", "install", "disable", "start-docker"]


def test_an_interrupted_installation_of_other_packages_is_not_completed():
    assert plan(replace(READY, is_interrupted=True)) == []


def test_a_limit_is_raised_with_both_values():
    low = min(ENOUGH)
    (step,) = plan(replace(READY, limits=ENOUGH | {low: 1}))
    assert step.sentence.startswith(f"Raise {low} from 1 to {ENOUGH[low]}")


def test_another_architecture_is_refused():
    with pytest.raises(SetupError, match="riscv64"):
        plan(replace(READY, machine="riscv64"))


def test_without_apt_the_missing_packages_are_named():
    with pytest.raises(SetupError, match="Install nginx-light"):
        plan(replace(READY, has_apt=False, installed=PACKAGES - {"nginx-light"}))


def test_undo_removes_what_was_installed_and_restores_limits():
    record = Record(packages=("nginx-light", "gone"), limits={"kernel.pid_max": 32768})
    assert [(step.action, step.subjects) for step in plan_undo(record, READY)] == [
        ("purge", ("nginx-light",)),
        ("restore", ("kernel.pid_max to 32768",)),
    ]


def test_undo_is_refused_while_containers_run():
    with pytest.raises(SetupError, match="2 containers"):
        plan_undo(Record(packages=("docker.io",)), replace(READY, containers=2))


def test_undo_is_refused_while_the_containers_of_this_host_cannot_be_counted():
    with pytest.raises(SetupError, match="Unset DOCKER_HOST"):
        plan_undo(Record(packages=("docker.io",)), replace(READY, docker="remote"))


def test_undo_keeps_docker_of_another_source():
    assert plan_undo(Record(), replace(READY, containers=2)) == []


FULL = """\
Unpacking docker.io (20.10.24+dfsg1-1+deb12u1) ...
dpkg: error processing archive /var/cache/apt/archives/docker.io.deb (--unpack):
 cannot copy extracted data for './usr/bin/dockerd': failed to write (No space left on device)
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""


def test_a_failed_command_is_one_sentence_with_the_first_error():
    with pytest.raises(SetupError) as failed:
        host_programs.run("sh", "-c", 'printf "%s" "$1" >&2; exit 100', "sh", FULL)
    assert "No space left on device). Repair the cause" in failed.value.message
    assert "\n" not in host_programs.reason_of_failure(FULL)
    assert host_programs.reason_of_failure("W: a warning\nE: Unable to locate package x\nE: other\n") == (
        "Unable to locate package x"
    )
    assert host_programs.reason_of_failure("") == "it wrote no reason"


@pytest.mark.parametrize(("system", "release"), [("debian", "11"), ("fedora", "41")])
def test_another_distribution_is_named_in_a_warning(system: str, release: str):
    assert f"not tested on {system} {release}" in support_warning(replace(READY, system=system, release=release))
    assert support_warning(READY) == ""


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The address of a daemon that does not run, on a host with the command docker."""
    (tmp_path / "docker").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(host_programs, "_SOCKET", str(tmp_path / "socket"))
    return tmp_path / "socket"


def test_a_daemon_without_a_socket_is_stopped(daemon: Path):
    assert not daemon.exists()
    assert host_programs.docker_state(responds=False) == "stopped"


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_this_account_cannot_use_runs(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert host_programs.docker_state(responds=False) == "running"


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(("responds", "state"), [(True, "remote"), (False, "unreachable")])
def test_the_state_of_a_remote_daemon(monkeypatch: pytest.MonkeyPatch, responds: bool, state: str):
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.example:2376")
    assert host_programs.docker_state(responds=responds) == state


def test_nothing_remains_of_a_deleted_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "folder/setup.json"
    monkeypatch.setattr(host_limits, "read_limits", lambda: {"kernel.pid_max": 1})
    monkeypatch.setattr(host_setup, "raise_limits", lambda: [LimitChange("kernel.pid_max", 1, 2)])
    Setup(lambda _: None, Record(), file).apply([SetupStep("raise", ("kernel.pid_max",), "it is low")])
    assert read_record(file) == Record(limits={"kernel.pid_max": 1})
    delete_record(file)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_could_not_be_raised_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = list[str]()
    change = LimitChange("kernel.pid_max", 1, 2, "Read-only file system")
    monkeypatch.setattr(host_limits, "read_limits", lambda: {"kernel.pid_max": 1})
    monkeypatch.setattr(host_setup, "raise_limits", lambda: [change])
    Setup(said.append, Record(), tmp_path / "setup.json").apply([SetupStep("raise", ("kernel.pid_max",), "it is low")])
    assert read_record(tmp_path / "setup.json") == Record()
    assert said[-1] == change.sentence


def test_a_limit_is_recorded_although_its_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise PermissionError

    monkeypatch.setattr(host_limits, "read_limits", lambda: {"kernel.pid_max": 1})
    monkeypatch.setattr(host_setup, "raise_limits", fail)
    with pytest.raises(PermissionError):
        Setup(lambda _: None, Record(), tmp_path / "setup.json").apply(
            [SetupStep("raise", ("kernel.pid_max",), "it is low")]
        )
    assert read_record(tmp_path / "setup.json") == Record(limits={"kernel.pid_max": 1})


SIMULATED = """\
Inst libpcre3 [1] (2 Debian:12 [amd64])
Inst nginx-common (1.22 Debian:12 [all])
Inst nginx-light (1.22 Debian:12 [all])
Conf nginx-light (1.22 Debian:12 [all])
"""


def test_the_new_packages_are_recorded_before_their_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "setup.json"

    def apt(*command: str) -> str:
        if "--simulate" in command:
            return SIMULATED
        if "install" in command:
            raise SetupError("The disk is full.")
        return ""

    monkeypatch.setattr(host_setup, "run", apt)
    monkeypatch.setattr(host_setup, "POLICY", tmp_path / "policy")
    with pytest.raises(SetupError, match="disk is full"):
        Setup(lambda _: None, Record(packages=("ss",)), file).apply(
            [SetupStep("install", ("nginx-light",), "the gateway")]
        )
    assert read_record(file).packages == ("nginx-common", "nginx-light", "ss")
    assert not (tmp_path / "policy").exists(), "services can start again"


def test_other_users_cannot_change_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "folder/setup.json"
    monkeypatch.setattr(host_setup, "start_docker", lambda: None)
    before = os.umask(0)
    try:
        Setup(lambda _: None, Record(), file).apply([SetupStep("start-docker", (), "it is stopped")])
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (file.parent, file)] == [0o755, 0o644]


@pytest.mark.parametrize("text", ["", "[]", '{"packages": 1}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str):
    (tmp_path / "setup.json").write_text(text)
    with pytest.raises(SetupError, match=r"setup\.json"):
        read_record(tmp_path / "setup.json")


WITHOUT_NGINX = replace(READY, is_root=False, installed=PACKAGES - {"nginx-light"})


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Host]:
    """The host that the command finds: the last of the list. There are no earlier setups."""
    hosts = [READY]
    monkeypatch.setattr(host_setup, "read_host", lambda: hosts[-1])
    monkeypatch.setattr(host_setup, "read_record", Record)
    return hosts


@pytest.mark.usefixtures("found")
def test_the_command_says_that_a_host_is_ready(capsys: pytest.CaptureFixture[str]):
    command.setup(dry_run=False, undo=False)
    assert capsys.readouterr().out == f"{command.READY}\n"


def test_a_dry_run_lists_the_steps_without_root(found: list[Host], capsys: pytest.CaptureFixture[str]):
    found.append(WITHOUT_NGINX)
    command.setup(dry_run=True, undo=False)
    *listed, last = capsys.readouterr().out.splitlines()
    assert listed == [step.sentence for step in plan(WITHOUT_NGINX)]
    assert last.startswith("Nothing was changed;")


def test_without_root_the_command_names_its_path_for_sudo(found: list[Host]):
    found.append(WITHOUT_NGINX)
    with pytest.raises(SetupError, match=r"`sudo /\S+/greenroom host setup`"):
        command.setup(dry_run=False, undo=False)


def test_without_root_the_command_for_sudo_has_the_option_undo(found: list[Host], monkeypatch: pytest.MonkeyPatch):
    found.append(replace(READY, is_root=False))
    monkeypatch.setattr(host_setup, "read_record", lambda: Record(packages=("nginx-light",)))
    with pytest.raises(SetupError, match=r"host setup --undo`"):
        command.setup(dry_run=False, undo=True)
