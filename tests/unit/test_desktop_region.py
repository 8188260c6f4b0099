"""The time zone and language of a viewer's browser in the session (viewers.py of the session's page)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import viewers  # type: ignore[import-not-found]  -- of the image
from tests.unit.desktop_pages import served

BERLIN = {"timezone": "Europe/Berlin", "language": "de_DE"}
RESTART = viewers.RESTART_PROGRAM


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    """The commands that the session ran; it is in UTC and has no language."""
    ran: list[tuple[str, ...]] = []

    async def run(*command: str) -> int:
        ran.append(command)
        return 0

    for folder in ("zones/Europe", "zones/Etc", "languages", "session"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("zones/Etc/UTC", "zones/Europe/Berlin", "zones/Europe/Oslo", "languages/de_DE", "languages/fr_FR"):
        (tmp_path / file).touch()
    (tmp_path / "session/localtime").symlink_to(tmp_path / "zones/Etc/UTC")
    monkeypatch.setattr(viewers, "FOLDER", tmp_path / "session")
    monkeypatch.setattr(viewers, "ZONES", tmp_path / "zones")
    monkeypatch.setattr(viewers, "LANGUAGES", tmp_path / "languages")
    monkeypatch.setattr(viewers, "run", run)
    monkeypatch.setattr(viewers, "_region_lock", asyncio.Lock())
    for name in ("TZ", "LC_ALL"):
        monkeypatch.delenv(name, raising=False)
    return ran


async def set_region(region: Any, *, counts: bool = True) -> bool:
    """Whether programs were restarted."""
    async with served(lambda *connection: viewers.set_region(*connection, may_change=counts)) as page:
        answer = await page.put("region", json=region)
    assert answer.status_code == 200
    return answer.json()["changed"]


def zone() -> str:
    return str((viewers.FOLDER / "localtime").resolve().relative_to(viewers.ZONES))


def language() -> str:
    file = viewers.FOLDER / "language"
    return file.read_text().strip() if file.exists() else ""


async def test_the_session_takes_the_zone_and_language_of_the_browser(commands: list[tuple[str, ...]]):
    assert await set_region(BERLIN) is True
    assert (zone(), language()) == ("Europe/Berlin", "de_DE.UTF-8")
    assert commands == [(viewers.COMPILE_PROGRAM, "de_DE.UTF-8"), (RESTART, "xfce4-panel", "xfsettingsd", "xfdesktop")]


async def test_a_second_browser_changes_nothing(commands: list[tuple[str, ...]]):
    await set_region(BERLIN)
    del commands[:]
    assert await set_region({"timezone": "Europe/Oslo", "language": "fr_FR"}) is False
    assert (zone(), language(), commands) == ("Europe/Berlin", "de_DE.UTF-8", [])


async def test_a_browser_in_english_restarts_the_clock_alone(commands: list[tuple[str, ...]]):
    await set_region({"timezone": "Europe/Oslo", "language": "en_GB"})
    assert (zone(), language()) == ("Europe/Oslo", "")
    assert commands == [(RESTART, "xfce4-panel")]


@pytest.mark.parametrize(
    ("variable", "expected"), [("TZ", ("Etc/UTC", "de_DE.UTF-8")), ("LC_ALL", ("Europe/Berlin", ""))]
)
async def test_a_preference_of_user_or_group_counts_more(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, variable: str, expected: tuple[str, str]
):
    monkeypatch.setenv(variable, "any")
    await set_region(BERLIN)
    assert (zone(), language()) == expected


async def test_a_viewer_who_does_not_count_changes_nothing(commands: list[tuple[str, ...]]):
    assert await set_region(BERLIN, counts=False) is False
    assert (zone(), language(), commands) == ("Etc/UTC", "", [])


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"timezone": None, "language": None},
        {"timezone": "Europe/Nowhere", "language": "xx_XX"},
        {"timezone": "../session/localtime", "language": "../de_DE"},
        {"timezone": "Europe", "language": "de_DE\n"},
        {"timezone": "/etc/passwd", "language": "en_US"},
        {"timezone": ["Europe/Berlin"], "language": {"de_DE": 1}},
    ],
    ids=str,
)
async def test_a_region_that_is_not_there_changes_nothing(commands: list[tuple[str, ...]], region: dict[str, Any]):
    assert await set_region(region) is False
    assert (zone(), language(), commands) == ("Etc/UTC", "", [])
