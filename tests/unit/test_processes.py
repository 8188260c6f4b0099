"""Processes of this machine in `kit.processes` and `up.processes`, tested with children of this process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.kit import processes
from greenroom.kit.processes import ProcessInfo
from greenroom.up.processes import end_all, read_command_line, read_environment


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a separate folder that waits for its end. It has answered: the kernel sets its environment and title
    shortly after its start."""
    with subprocess.Popen(
        ["cat", "-"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={"MARK": "here"},
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdin.write(b"started")
        assert started.stdout.read(7) == b"started"
        yield started
        started.kill()


def _find(pid: int) -> ProcessInfo | None:
    return next((seen for seen in processes.processes() if seen.pid == pid), None)


def test_a_process_is_described(child: subprocess.Popen[bytes], tmp_path: Path):
    expected = ProcessInfo(pid=child.pid, name="cat", parent=os.getpid(), is_zombie=False)
    assert _find(child.pid) == expected
    assert expected in processes.children()
    assert expected not in processes.children(without={child.pid})
    assert processes.read_working_folder(child.pid) == tmp_path
    assert read_environment(child.pid) == {"MARK": "here"}
    assert read_command_line(child.pid) == "cat -"
    assert (
        processes.read_start_ticks(child.pid) == processes.read_start_ticks(child.pid) != processes.read_start_ticks(1)
    )


def test_an_ended_process_is_a_zombie_until_waited_for(child: subprocess.Popen[bytes]):
    processes.send_signal(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    zombie = _find(child.pid)
    assert zombie is not None
    assert zombie.is_zombie
    assert (processes.is_running(child.pid), processes.read_working_folder(child.pid)) == (False, None)
    child.wait()
    processes.send_signal(child.pid, signal.SIGTERM)  # no longer exists, and causes no error
    assert (_find(child.pid), processes.is_running(child.pid)) == (None, False)
    assert (processes.read_working_folder(child.pid), read_environment(child.pid)) == (None, {})
    assert (read_command_line(child.pid), processes.is_listening(child.pid, "127.0.0.1", 1)) == ("", False)


def test_a_process_listens_where_it_does_itself(child: subprocess.Popen[bytes]):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert processes.is_listening(os.getpid(), "127.0.0.1", port)
        assert not processes.is_listening(os.getpid(), "127.0.0.2", port)
        assert not processes.is_listening(child.pid, "127.0.0.1", port)
    assert not processes.is_listening(os.getpid(), "127.0.0.1", port)


async def test_a_process_that_does_not_end_on_request_is_killed():
    stubborn = subprocess.Popen(  # noqa: ASYNC220 -- returns at once
        [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"],
        stdout=subprocess.PIPE,
    )
    with stubborn:
        assert stubborn.stdout
        await asyncio.to_thread(stubborn.stdout.readline)
        left = lambda: [one for one in processes.children() if one.pid == stubborn.pid and not one.is_zombie]  # noqa: E731
        await end_all(left, within_s=0.2)
        assert stubborn.wait() == -signal.SIGKILL


@pytest.mark.skipif(os.getuid() != 0, reason="only root may have more of the processor")
@pytest.mark.parametrize(("uid", "nice"), [(0, -5), (65534, 0)])
def test_who_may_have_more_of_the_processor_has_it_and_no_other_account_fails(uid: int, nice: int):
    asks = f"""
import os
from greenroom.up.processes import raise_priority
os.setpriority(os.PRIO_PROCESS, 0, 0)
os.setuid({uid})
print(raise_priority(-5), os.getpriority(os.PRIO_PROCESS, 0))
"""
    done = subprocess.run([sys.executable, "-c", asks], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(uid == 0), str(nice)]


def test_orphans_become_children_of_a_subreaper():
    adopts = """
import subprocess, sys
from greenroom.kit import processes
processes.become_subreaper()
said = subprocess.run(["sh", "-c", "sleep 60 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True)
pid = int(said.stdout)
print(pid in {child.pid for child in processes.children()})
processes.send_signal(pid, 9)
while not (ended := processes.collect_ended_children()):
    pass
print(ended == {pid: 9})
"""
    done = subprocess.run([sys.executable, "-c", adopts], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"]
