"""Names and values of the settings of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit.config import ManagerConfig
from greenroom.kit.environment import load_settings, unknown_variables
from greenroom.kit.program import version


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "manager.toml"
    monkeypatch.setenv("GREENROOM_CONFIG", str(file))
    return file


GOOD = "database_url = 'postgresql:///x'\nsecret_key_file = '/k'\nmanager_dir = '/m'\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("zonne = 'lab'", "zonne; the most similar name is zone"),
        ("ZONE = 'lab'", "ZONE; the most similar name is zone"),
        ("GREENROOM_ZONE = 'lab'", "GREENROOM_ZONE; the most similar name is zone"),
        ("qqqqq = 1", "qqqqq"),
    ],
)
def test_an_unknown_key_in_the_file_is_refused_with_the_nearest(file: Path, line: str, sentence: str):
    file.write_text(GOOD + line)
    with pytest.raises(SetupError) as refused:
        load_settings(ManagerConfig)
    assert refused.value.message == f"The file {file} of GREENROOM_CONFIG has settings that do not exist: {sentence}."


def test_a_file_may_have_the_settings_of_several_roles(file: Path):
    file.write_text(GOOD + "zone = 'lab'\nagent_dir = '/a'")
    assert load_settings(ManagerConfig).zone == "lab"


def test_a_log_level_is_one_of_five_in_any_case(file: Path):
    file.write_text(GOOD + "log_level = 'debug'")
    assert load_settings(ManagerConfig).log_level == "DEBUG"
    file.write_text(GOOD + "log_level = 'banana'")
    with pytest.raises(SetupError, match=r"GREENROOM_LOG_LEVEL: must be 'DEBUG'.* or 'CRITICAL'"):
        load_settings(ManagerConfig)


def test_a_variable_that_nothing_reads_is_named_with_the_nearest():
    given = {"GREENROOM_ZNOE": "lab", "GREENROOM_ZONE": "lab", "GREENROOM_URL": "x", "HOME": "/"}
    assert unknown_variables(given) == [
        "No program reads the variable GREENROOM_ZNOE; the most similar name is GREENROOM_ZONE."
    ]


def test_a_variable_of_compose_is_named_for_other_programs():
    assert unknown_variables({"GREENROOM_PORT": "9"}) == [
        "Only Docker Compose reads the variable GREENROOM_PORT; the most similar name is GREENROOM_API_PORT."
    ]


def _greenroom(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **variables}
    command = [sys.executable, "-m", "greenroom", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.program
def test_a_command_warns_of_an_unread_variable_and_refuses_an_unusable_value():
    ended = _greenroom("status", "--help", GREENROOM_ZNOE="lab")
    assert ended.returncode == 0
    assert (
        ended.stderr
        == "greenroom: No program reads the variable GREENROOM_ZNOE; the most similar name is GREENROOM_ZONE.\n"
    )
    ended = _greenroom("status", GREENROOM_LOG_LEVEL="banana")
    assert ended.returncode == 1
    assert ended.stderr.startswith("greenroom: Invalid settings: GREENROOM_LOG_LEVEL: must be ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.program
def test_a_role_writes_its_warning_into_its_log(tmp_path: Path):
    ended = _greenroom(
        "manager",
        GREENROOM_ZONNE="lab",
        GREENROOM_MANAGER_DIR=str(tmp_path),
        GREENROOM_DATABASE_URL="postgresql://127.0.0.1:1/none",
        GREENROOM_SECRET_KEY_FILE=str(tmp_path / "none"),
    )
    assert (
        '"reason": "No program reads the variable GREENROOM_ZONNE; the most similar name is GREENROOM_ZONE."'
        in ended.stderr
    )


@pytest.mark.program
def test_the_version_is_one_line():
    ended = _greenroom("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"greenroom {version()}\n", "")
