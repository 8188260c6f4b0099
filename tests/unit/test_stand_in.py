"""The health checks of a frozen Manager: the Manager answers while it beats, the stand-in when it does not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from tests.support.waiting import eventually

from greenroom.manager.stand_in_process import StandInProcess
from greenroom.manager.status import ManagerStatus

DIED_S = 20.0


class Manager:
    """A socket and a pulse, with their stand-in in a separate process."""

    def __init__(self, *, beat_s: float, silent_beats: int) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        reading, self.pulse = os.pipe()
        hurried = f"stand_in.BEAT_S, stand_in.SILENT_BEATS = {beat_s}, {silent_beats}"
        watch = f"stand_in.watch(socket.socket(fileno={self.listening.fileno()}), {reading})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import socket; from greenroom.manager import stand_in; {hurried}; {watch}"],
            pass_fds=(self.listening.fileno(), reading),
        )
        os.close(reading)

    def ask(self) -> tuple[int, dict[str, object]]:
        """The answer to a health check."""
        with socket.create_connection(self.listening.getsockname(), timeout=DIED_S) as client:
            client.sendall(b"GET /__healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


@pytest.fixture
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    found = Manager(**request.param)
    yield found
    found.process.kill()
    found.process.wait()
    found.listening.close()


@pytest.mark.parametrize("manager", [{"beat_s": 0.05, "silent_beats": 2}], indirect=True)
@pytest.mark.parametrize(("beat", "enabled"), [(b"1", True), (b"10", False), (b"?", None)])
def test_a_request_to_a_frozen_manager_is_answered_instead_of_waiting(
    manager: Manager, beat: bytes, enabled: bool | None
):
    os.write(manager.pulse, beat)
    said = {"ok": False, "status": "unhealthy", "enabled": enabled, "frozen": True}
    assert [manager.ask(), manager.ask()] == [(500, said), (500, said)]


@pytest.mark.parametrize("manager", [{"beat_s": 60.0, "silent_beats": 1}], indirect=True)
def test_a_manager_that_goes_on_answers_everybody_itself(manager: Manager):
    manager.listening.settimeout(DIED_S)
    os.write(manager.pulse, b"1")
    for _ in range(50):
        with socket.create_connection(manager.listening.getsockname()) as client:
            accepted, its_address = manager.listening.accept()
            accepted.close()
            assert its_address == client.getsockname()


@pytest.mark.parametrize("manager", [{"beat_s": 60.0, "silent_beats": 1}], indirect=True)
def test_it_ends_with_its_manager(manager: Manager):
    os.close(manager.pulse)
    assert manager.process.wait(DIED_S) == 0


async def test_its_environment_has_the_folder_of_libpython_and_no_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    monkeypatch.setenv("GREENROOM_DATABASE_URL", "secret")
    before = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        parent = StandInProcess(lambda: ManagerStatus(age_s=0, unhealthy_after_s=1))
        parent.start(listening)
        [child] = [process for process in psutil.Process().children() if process not in before]
        environment = await eventually(child.environ)  # empty until the child runs its program
        parent.stop()
        child.wait(DIED_S)
    assert environment == {"LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "/nowhere"}
