"""The end of a command that is interrupted, or refused by the machine."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit import program as ending
from greenroom.up.layout import DataLock, Layout, check_folder, running_pid
from greenroom.up.site import lock_data

INTERRUPTED_AT_AN_IMPORT = """
import builtins, signal, sys
def interrupted(name, *rest, real=builtins.__import__):
    if name == {module!r}:
        builtins.__import__ = real
        signal.raise_signal(signal.SIGINT)
    return real(name, *rest)
from greenroom.__main__ import main
sys.argv = ["greenroom", "doctor", "--data", "/nonexistent/greenroom"]
builtins.__import__ = interrupted
main()
"""


@pytest.mark.program
@pytest.mark.parametrize("module", ["asyncio", "typer", "greenroom.cli.main", "greenroom.up", "psycopg"])
def test_ctrl_c_while_modules_are_imported_is_one_line(module: str):
    program = INTERRUPTED_AT_AN_IMPORT.format(module=module)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (ending.EXIT_INTERRUPTED, "Stopped.\n")


@pytest.mark.program
def test_ctrl_c_in_a_command_is_one_line():
    program = """
import signal, sys
from greenroom.up import commands
from greenroom.__main__ import main
commands.doctor = lambda *_, **__: signal.raise_signal(signal.SIGINT)
sys.argv = ["greenroom", "doctor"]
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (ending.EXIT_INTERRUPTED, "", "Stopped.\n")


def test_an_error_of_the_machine_is_one_sentence(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        ending.exit_with_error(OSError(28, "No space left on device", "/a\nb"))
    assert ended.value.code == 1
    assert capsys.readouterr().err == "greenroom: No space left on device: /a\\u000ab\n"


@pytest.mark.parametrize("parents", ["", "a/b"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_new_folder_that_cannot_be_finished_is_removed(tmp_path: Path, parents: str, is_there: bool):
    (tmp_path / "other").touch()
    data = tmp_path / parents / "data"
    if is_there:
        data.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))

    def create_files() -> None:
        with lock_data(Layout(data)):
            (data / "logs").mkdir()
            (data / "instance.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_files()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_an_instance_stays(tmp_path: Path):
    (tmp_path / "instance.json").write_text("{}")
    with pytest.raises(SetupError), lock_data(Layout(tmp_path)):
        raise SetupError("It cannot be laid out.")
    assert (tmp_path / "instance.json").exists()


def test_a_start_that_another_one_forestalled_removes_nothing_of_it(tmp_path: Path):
    layout = Layout(tmp_path / "data")
    with lock_data(layout):
        (layout.data / "logs").mkdir()
        with pytest.raises(SetupError, match="Another greenroom"), lock_data(layout):
            pytest.fail("it has the lock")
        assert (layout.data / "logs").exists()


def test_the_half_made_folder_of_another_start_is_named_as_such(tmp_path: Path):
    layout = Layout(tmp_path / "data")
    with lock_data(layout):
        (layout.data / "logs").mkdir()
        with pytest.raises(SetupError, match=rf"Another greenroom \(pid {os.getpid()}\) is running"):
            check_folder(layout)


def test_a_lock_on_a_file_that_was_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout = Layout(tmp_path / "data")
    opened: list[int] = []

    def lock(descriptor: int, how: int, real: Callable[[int, int], None] = fcntl.flock) -> None:
        opened.append(descriptor)
        if len(opened) == 1:
            layout.lock.unlink()  # the failed start of another process
            layout.data.rmdir()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    DataLock.take(layout)
    assert len(opened) == 2
    assert running_pid(layout) == os.getpid()
