"""Reading the clipboard of the session: all of it, or an error (clipboard.py)."""

from __future__ import annotations

import sys

import clipboard  # type: ignore[import-not-found]  -- of the image
import pytest
from rfb import Input  # type: ignore[import-not-found]
from steps import StepExecutor  # type: ignore[import-not-found]


def owned_by(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let this Python program replace xclip; its start may take longer than that of xclip."""
    monkeypatch.setattr(clipboard, "READ_TIMEOUT_S", 30)
    monkeypatch.setattr(clipboard, "XCLIP", (sys.executable, "-c", f"import sys, time; {program}"))


@pytest.mark.parametrize("size", [0, 65_536, 200_000, 5 << 20])
async def test_a_text_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, size: int):
    owned_by(monkeypatch, f"sys.stdout.write('x' * {size})")
    assert len(await clipboard.content("UTF8_STRING")) == size


async def test_a_text_that_arrives_in_parts_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch):
    owned_by(monkeypatch, "[print(part, end='', flush=True) or time.sleep(0.05) for part in ('one ', 'two ', 'three')]")
    assert await clipboard.content("UTF8_STRING") == b"one two three"


async def test_a_text_above_the_limit_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clipboard, "MAX_BYTES", 1 << 20)
    owned_by(monkeypatch, "sys.stdout.write('x' * (1 << 21))")
    result = await StepExecutor(None, Input("")).act([{"step": "read_clipboard"}])
    assert not result["done"]
    assert result["error"] == "the clipboard has more than 1 MiB, the maximum that can be read."


async def test_an_owner_that_stops_in_the_middle_is_an_error(monkeypatch: pytest.MonkeyPatch):
    owned_by(monkeypatch, "print('half', flush=True); time.sleep(60)")
    monkeypatch.setattr(clipboard, "READ_TIMEOUT_S", 0.3)
    with pytest.raises(clipboard.ContentError, match="did not send its content"):
        await clipboard.content("UTF8_STRING")
