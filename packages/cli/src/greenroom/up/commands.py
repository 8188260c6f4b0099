"""The commands `greenroom up`, `down`, `status`, `doctor` and `migrate`: their processes and their output."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from rich.table import Table
from rich.text import Text

from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.fleet.restarts import with_subject
from greenroom.core.text import database_error, shortened, summary
from greenroom.db.migrate import migrate as migrate_database
from greenroom.db.migrate import pending_files
from greenroom.kit.program import version
from greenroom.up import host_programs, instance, log
from greenroom.up.doctor import (
    Finding,
    check_invariants,
    database_to_check,
    find_warnings,
    host_capacity,
    restore_warnings,
    runtime_warnings,
    skip_all_invariants,
)
from greenroom.up.health import database_problem
from greenroom.up.host_limits import SessionCapacity
from greenroom.up.layout import Layout, check_folder, missing_instance_error, running_layout, running_pid, wait_for_end
from greenroom.up.options import Options
from greenroom.up.progress import (
    EventProgress,
    Failed,
    InstanceDescription,
    Progress,
    Ready,
    show_events,
    show_ready,
    stderr_progress,
)
from greenroom.up.recorded import HostCommand, record_at
from greenroom.up.site import prepare_instance, site_of
from greenroom.up.start_data import StartData
from greenroom.up.status import Status, read_status
from greenroom.up.supervisor import State
from greenroom.up.terminal import console

DOWN_WITHIN_S: Final = 120.0


def up(data: Path, options: Options, *, detach: bool, as_json: bool) -> None:
    """Start an instance. With `detach`, return when the instance is ready. Otherwise, this process becomes `up`, the
    process that runs the instance.

    Raises:
        SetupError: the instance cannot be started with these options.
    """
    os.umask(0o022)
    layout = Layout(data)
    if detach:
        show_ready(start_in_background(layout, options), as_json=as_json)
        return
    _exec_up(layout, options, stderr_progress(), as_json=as_json)


def _exec_up(
    layout: Layout, options: Options, progress: Progress, *, events: int | None = None, as_json: bool = False
) -> NoReturn:
    """Prepare DATA, then become the process `up`, which receives all later `END_SIGNALS`. `events` is the descriptor to
    which a process in the background writes its progress.

    Raises:
        SetupError: the instance cannot be started with these options.
        KeyboardInterrupt: one of `END_SIGNALS` arrived before this process has become `up`.
    """
    log.configure_for_command("up")
    for number in instance.END_SIGNALS:
        signal.signal(number, _interrupt)  # asyncio's own handler of Ctrl-C would let a long copy finish first
    signal.pthread_sigmask(signal.SIG_UNBLOCK, instance.END_SIGNALS)
    site, open_descriptors = asyncio.run(prepare_instance(layout, options, progress))
    signal.pthread_sigmask(signal.SIG_BLOCK, instance.END_SIGNALS)
    if events is not None:
        _redirect_output(layout.log("up"))
    environment = dict(os.environ)
    StartData(
        data=str(layout.data),
        environment=environment,
        open_descriptors=open_descriptors,
        events=events,
        as_json=as_json,
    ).become_up(site)


def start_in_background(layout: Layout, options: Options) -> InstanceDescription:
    """Fork the background process. Display the steps of its start, and return the description of the instance. Raises
    SetupError: the instance cannot be started with these options."""
    read_end, write_end = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, instance.END_SIGNALS)
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _run_in_background(layout, options, write_end)
    os.close(write_end)
    with os.fdopen(read_end) as source, _forward_interrupt_to(pid):
        event = show_events(source, stderr_progress())
    if isinstance(event, Ready):
        return event.description
    os.waitpid(pid, 0)
    line = instance.last_log_line(layout.log("up"))
    raise SetupError(event.sentence if event else f"The background process has ended. Its log ends with: {line}")


@contextmanager
def _forward_interrupt_to(pid: int) -> Generator[None]:
    """Forward the first signal of `END_SIGNALS` as SIGTERM to the starting background process, and wait for its end. A
    signal that arrived while signals were blocked is forwarded, too."""
    for number in instance.END_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, instance.END_SIGNALS)
        yield
    except KeyboardInterrupt:
        for number in instance.END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _run_in_background(layout: Layout, options: Options, write_end: int) -> NoReturn:
    """Run the background process. Write its progress or its error to the pipe `write_end`."""
    events = EventProgress(os.fdopen(write_end, "w"))
    try:
        os.setsid()
        _redirect_output(Path(os.devnull))
        _exec_up(layout, options, events, events=write_end)
    except BaseException as error:
        events.send(Failed(shortened(summary(error))))
        if not isinstance(error, GreenroomError):
            raise
    finally:
        os._exit(1)


def _redirect_output(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(descriptor)
    os.close(nothing)


def down(data: Path, *, as_json: bool = False) -> None:
    """Stop an instance, or clean up after an instance whose `up` was killed.

    With `as_json`, the last line on stdout is an object: `data`, `stopped` (False: nothing was running), and
    `docker_pid` of the Docker daemon that the setup of this host started and that keeps running, or null.

    Raises:
        SetupError: there is no instance, or the instance does not end.
    """
    layout = Layout(data)
    check_folder(layout)
    if not layout.instance.exists():
        raise missing_instance_error(layout)
    progress = stderr_progress()
    pid = running_pid(layout)
    stopped = pid is not None or layout.state.exists()
    if pid is not None:
        _stop_running(layout, pid, progress)
    elif stopped:
        log.configure_for_command("down")
        asyncio.run(instance.clean_up(layout, progress))
    else:
        print(f"Nothing is running on {data}.", file=sys.stderr)  # noqa: T201 -- the command's output
    docker_pid = host_programs.find_started_docker()
    if docker_pid is not None:
        note = f"The Docker daemon that the setup of this host started (pid {docker_pid}) continues to run."
        print(note, file=sys.stderr)  # noqa: T201 -- the command's output
    if as_json:
        print(json.dumps({"data": str(data), "stopped": stopped, "docker_pid": docker_pid}))  # noqa: T201 -- its result


def _stop_running(layout: Layout, pid: int, progress: Progress) -> None:
    command = HostCommand(name="down", action="stops the instance and ends its sessions")
    try:
        record_at(site_of(layout).dsn, layout.key_file, command)
    except GreenroomError as error:  # an instance without a database must be stopped, too
        text = f"Warning: The audit has no event of this command. {error.message}"
        print(text, file=sys.stderr)  # noqa: T201 -- the command's output
    with progress.step("Stopping the instance and ending its sessions"):
        os.kill(pid, signal.SIGTERM)
        if not wait_for_end(layout, pid, DOWN_WITHIN_S):
            log_end = f"Its log {layout.log('up')} ends with: {instance.last_log_line(layout.log('up'))}"
            raise SetupError(f"The instance has not ended after {DOWN_WITHIN_S:g} s. {log_end}")
    if layout.state.exists():
        if left := State.read(layout.state).left:
            raise SetupError(left)
        raise SetupError(
            f"The instance has ended without a complete cleanup; see {layout.log('up')}, then run greenroom down again."
        )


def status(layout: Layout, *, as_json: bool) -> None:
    """Print the state of each part of a running instance; exit code 1 if a part does not work."""
    log.configure_for_command("status")
    current_status = asyncio.run(read_status(layout))
    if as_json:
        print(json.dumps(current_status.as_json()))  # noqa: T201 -- the command's result
    else:
        _show_status(current_status)
    if not all(part.health.ok for part in current_status.parts):
        raise SystemExit(1)


def _show_status(current_status: Status) -> None:
    table = Table("part", "pid", "port", "starts", "state", box=None, pad_edge=False)
    for part in current_status.parts:
        color = "green" if part.health.ok else "red"
        cells = (str(cell or "") for cell in (part.health.name, part.state.pid, part.port, part.state.starts))
        table.add_row(*cells, Text(part.health.detail, style=color))
    out = console()
    running = f"version {current_status.version or 'unknown'}"
    out.print(f"{current_status.url}  (pid {current_status.pids['up'][0]}, {current_status.phase}, {running})")
    out.print(table)
    for part in current_status.parts:
        if part.crash_loop:
            out.print(Text(with_subject(part.health.name, part.crash_loop), style="red"))


def doctor(data: Path, *, as_json: bool) -> None:
    """Check the invariants; exit code 1 if an invariant is broken or the database cannot be used. Warnings go to stderr
    and do not change the exit code.

    Raises:
        SetupError: the instance is not running, or has an older version than this program.
    """
    log.configure_for_command("doctor")
    failure, findings, warning_texts, capacity = asyncio.run(_doctor(running_layout(data)))
    for sentence in warning_texts:
        print(f"Warning: {sentence}", file=sys.stderr)  # noqa: T201
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))  # noqa: T201 -- the command's result
    else:
        _show_findings(findings, capacity)
    if failure:
        raise SetupError(failure)
    if any(finding.broken for finding in findings):
        raise SystemExit(1)


def _show_findings(findings: list[Finding], capacity: SessionCapacity | None) -> None:
    """Print the version, a line for each invariant with its violations or the reason why it was skipped, and the
    capacity of the host."""
    out = console(soft_wrap=True)
    out.print(f"greenroom {version()}")
    for finding in findings:
        state = "[red]broken[/red] " if finding.broken else "[green]holds[/green]  "
        out.print("[yellow]skipped[/yellow]" if finding.skipped else state, f"{finding.code:4}", end="")
        details = (finding.skipped,) if finding.skipped else finding.broken
        out.print(finding.holds, *details, sep="\n              ", markup=False)
    if capacity is not None and not capacity.is_short:
        out.print(capacity.sentence, markup=False)


async def _doctor(layout: Layout) -> tuple[str, list[Finding], list[str], SessionCapacity | None]:
    """Return the reason why the database cannot be used, the findings, the warnings, and the number of sessions that
    the host can run."""
    site = site_of(layout)
    if (problem := await database_problem(site.dsn)) is not None:
        failure = database_error(problem)
        return failure, skip_all_invariants("The database cannot be used."), await runtime_warnings(None, site), None
    async with database_to_check(layout) as (db, site):
        findings, warning_texts = await check_invariants(db, site), await find_warnings(db)
        warning_texts += await restore_warnings(db, layout, datetime.now(UTC))
        capacity = await host_capacity(db, site)
        if skipped := [finding for finding in findings if finding.skipped]:
            codes = ", ".join(finding.code for finding in skipped)
            warning_texts += [f"{codes} and the disk and versions of Docker could not be checked: {skipped[0].skipped}"]
        else:
            warning_texts += await runtime_warnings(db, site)
    if capacity.is_short:
        warning_texts = [*warning_texts, capacity.sentence]
    return "", findings, warning_texts, capacity


def migrate(data: Path, database_url: str | None, *, only_pre: bool = False) -> tuple[list[str], list[str]]:
    """Migrate a database to this version. With `only_pre`, apply only migrations that the previous version supports.
    Return the names of the applied and of the pending migrations.

    Raises:
        SetupError: the database is newer than this program, or cannot be reached.
    """
    log.configure_for_command("migrate")
    if database_url is not None:
        return asyncio.run(_migrate(database_url, only_pre=only_pre))
    return asyncio.run(_migrate_instance(Layout(data), only_pre=only_pre))


async def _migrate(dsn: str, *, only_pre: bool) -> tuple[list[str], list[str]]:
    return await migrate_database(dsn, only_pre=only_pre), await pending_files(dsn)


async def _migrate_instance(layout: Layout, *, only_pre: bool) -> tuple[list[str], list[str]]:
    check_folder(layout)
    if running_pid(layout) is not None:
        dsn = site_of(layout).dsn
        applied, pending = await _migrate(dsn, only_pre=only_pre)
        if applied:
            command = HostCommand(name="migrate", action=f"applied the migrations {', '.join(applied)}")
            await asyncio.to_thread(record_at, dsn, layout.key_file, command)
        return applied, pending
    async with instance.database_of(layout, stderr_progress()):  # the start applies all migrations
        return [], []
