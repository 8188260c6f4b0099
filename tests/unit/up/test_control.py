"""The control socket of `up`, and its replacement by the `up` of another version."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.support.waiting import eventually

from greenroom.core.errors import SetupError
from greenroom.up import control, instance, roles, start_data
from greenroom.up.control import Describe, UpControl, send_request
from greenroom.up.layout import Layout
from greenroom.up.programs import Programs
from greenroom.up.site import Site
from greenroom.up.start_data import StartData
from greenroom.up.supervisor import Supervisor


def not_called(_: Site) -> NoReturn:
    raise AssertionError


@pytest_asyncio.fixture
async def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Layout]:
    """The layout of an `up` of version 0.1.0 that serves its socket."""
    layout = Layout(tmp_path)
    layout.control.parent.mkdir()
    monkeypatch.setattr(control, "version", lambda: "0.1.0")
    programs = Programs(Path("/python"), Path("/postgres"), Path("/console"))
    site = cast("Site", SimpleNamespace(layout=layout, programs=programs))
    server = asyncio.create_task(UpControl(site, Supervisor(layout.state), not_called).serve())
    await eventually(layout.control.exists)
    yield layout
    server.cancel()
    await asyncio.wait([server])


async def test_up_describes_its_own_version_after_another_one_was_installed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(control, "version", lambda: "0.2.0")
    assert (await send_request(layout, Describe())).version == "0.1.0"


async def test_a_connection_without_a_request_is_closed(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control, "REQUEST_WITHIN_S", 0.1)
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(layout.control)
        assert await reader.read() == b""
    writer.close()


DATA = StartData(data="/data", environment={}, open_descriptors=(), events=None, as_json=False)


def test_up_still_ends_at_a_signal_if_the_other_up_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(roles, "common_environment", lambda _: {})
    programs = Programs(tmp_path / "absent", tmp_path, tmp_path)
    site = cast("Site", SimpleNamespace(layout=Layout(tmp_path), programs=programs))
    with pytest.raises(FileNotFoundError):
        DATA.become_other_up(site)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(instance.END_SIGNALS)


def test_the_reason_why_the_other_up_does_not_work_is_logged(monkeypatch: pytest.MonkeyPatch):
    async def run(*_: Any) -> None:
        raise SetupError("No port is free.")

    monkeypatch.setattr(instance, "run", run)
    monkeypatch.setattr(start_data, "site_of", lambda _: None)
    monkeypatch.setattr(start_data, "replace", lambda site, **_: site)
    with capture_logs() as lines, pytest.raises(SetupError):
        StartData(data="/", environment={}, open_descriptors=(), events=None, as_json=False, adopts=True)._run(
            cast("Any", None), cast("Any", None), lambda _: None
        )
    assert [line["reason"] for line in lines if line["log_level"] == "error"] == ["No port is free."]
