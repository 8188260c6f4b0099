"""The start, the supervisor and the logs of an instance whose disk is full."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import free_port

from greenroom.core.errors import SetupError
from greenroom.kit.log import LogStream
from greenroom.up import checks, site, supervisor
from greenroom.up.account import Account
from greenroom.up.layout import Layout
from greenroom.up.options import Options
from greenroom.up.processes import ProcessCommand
from greenroom.up.progress import LineProgress
from greenroom.up.supervisor import Part, Supervisor


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 20 s")


async def test_a_part_is_restarted_although_the_state_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    state = tmp_path / "state.json"
    asleep = ProcessCommand(
        argv=("sleep", "60"), environment=os.environ, folder=tmp_path, account=Account(None), log=tmp_path / "part.log"
    )
    part = Part(name="api", role="api", command=lambda: asleep)
    supervised = Supervisor(state)
    supervised.run(part)
    await until(state.exists)
    first = part.process
    assert first is not None
    with monkeypatch.context() as patched:
        patched.setattr(supervisor, "write_json", full)
        first.send(signal.SIGKILL)
        await until(lambda: part.starts == 2)
        assert json.loads(state.read_text())["parts"][0]["pid"] == first.pid, "as it was when there was room"
    watch = asyncio.create_task(supervised.watch())
    await until(lambda: json.loads(state.read_text())["parts"][0]["pid"] == part.pid)
    watch.cancel()
    await supervised.stop()
    assert supervised.failed_task() is None


def test_an_unwritable_line_stops_nothing_and_the_gap_is_logged(tmp_path: Path):
    file = tmp_path / "api.log"
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with os.fdopen(os.dup(log), "w") as stream:
        output = LogStream(stream)
        with Path("/dev/full").open("w") as full:
            os.dup2(full.fileno(), stream.fileno())
        for number in range(2):
            print(f"lost {number}" + 10_000 * "x", file=output, flush=True)
        os.dup2(log, stream.fileno())
        for number in range(2):
            print(json.dumps({"event": f"kept {number}"}), file=output, flush=True)
    os.close(log)
    said = [line for line in file.read_text().splitlines() if line.startswith("{")]
    events = [json.loads(line)["event"] for line in said]
    assert sum("lines of this log are missing" in event for event in events) == 1
    assert events[-1] == "kept 1"


async def test_a_start_that_the_disk_refuses_says_so_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def fine(*_: object) -> None:
        await asyncio.sleep(0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checks, "check_machine", fine)
    monkeypatch.setattr(checks, "provide_desktop_image", fine)
    monkeypatch.setattr(checks, "check_space", lambda *_: None)
    monkeypatch.setattr(site, "check_reachable", lambda *_: None)
    monkeypatch.setattr(site, "service_accounts", lambda: None)
    monkeypatch.setattr(Layout, "create", full)
    layout = Layout(tmp_path / "data")
    with pytest.raises(SetupError, match=r"cannot be created in .*data: No space left on device"):
        await site.prepare_instance(layout, Options(port=free_port()), LineProgress(io.StringIO()))
    assert not layout.data.exists()
