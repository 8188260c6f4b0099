"""How a command ends that is interrupted or refused by the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit import ending
from greenroom.up.layout import Layout
from greenroom.up.site import _removed_if_new  # pyright: ignore[reportPrivateUsage]

INTERRUPTED_AT_AN_IMPORT = """
import builtins, signal, sys
def interrupted(name, *rest, real=builtins.__import__):
    if name == {module!r}:
        builtins.__import__ = real
        signal.raise_signal(signal.SIGINT)
    return real(name, *rest)
from greenroom.__main__ import main
sys.argv = ["greenroom", "status", "--data", "/nonexistent/greenroom"]
builtins.__import__ = interrupted
main()
"""


@pytest.mark.parametrize("module", ["asyncio", "typer", "greenroom.cli.main", "greenroom.up", "psycopg"])
def test_ctrl_c_while_modules_are_imported_is_one_line(module: str):
    program = INTERRUPTED_AT_AN_IMPORT.format(module=module)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (ending.INTERRUPTED, "Stopped.\n")


def test_ctrl_c_in_a_command_is_one_line():
    program = """
import signal, sys
from greenroom.up import commands
from greenroom.__main__ import main
commands.status = lambda *_, **__: signal.raise_signal(signal.SIGINT)
sys.argv = ["greenroom", "status"]
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (ending.INTERRUPTED, "", "Stopped.\n")


def test_an_error_of_the_machine_is_one_sentence(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        ending.failed(OSError(28, "No space left on device", "/a\nb"))
    assert ended.value.code == 1
    assert capsys.readouterr().err == "greenroom: No space left on device: /a\\u000ab\n"


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device", "/x"), KeyboardInterrupt()])
@pytest.mark.parametrize("parents", ["", "a/b"])
def test_a_new_folder_that_cannot_be_finished_is_removed(tmp_path: Path, stop: BaseException, parents: str):
    (tmp_path / "other").touch()
    data = tmp_path / "top" / parents / "data"
    (tmp_path / "top").mkdir()

    def lay_out() -> None:
        with _removed_if_new(Layout(data)):
            data.mkdir(parents=True)
            (data / "logs").mkdir()
            (data / "instance.json").write_text("{}")
            raise stop

    with pytest.raises((SetupError, KeyboardInterrupt)):
        lay_out()
    assert {path.name for path in tmp_path.iterdir()} == {"other", "top"}
    assert list((tmp_path / "top").iterdir()) == []


def test_a_folder_of_an_instance_stays(tmp_path: Path):
    (tmp_path / "instance.json").write_text("{}")
    with pytest.raises(SetupError, match=r"cannot be laid out in .*: No space left on device"):  # noqa: SIM117
        with _removed_if_new(Layout(tmp_path)):
            raise OSError(28, "No space left on device")
    assert (tmp_path / "instance.json").exists()
