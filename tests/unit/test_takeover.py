"""Requests that wait for a Manager that is taking over."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.manager import status
from greenroom.manager.status import Takeover

WITHIN_S = 20.0
"""The time limit for immediate results on a busy machine."""


async def test_agents_wait_for_the_first_round_of_a_new_primary(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(status, "FIRST_ROUND_WAIT_S", 3600.0)
    takeover = Takeover()
    await asyncio.wait_for(takeover.wait(), WITHIN_S)
    takeover.begin()
    waiting = asyncio.create_task(takeover.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    takeover.end()
    await asyncio.wait_for(waiting, WITHIN_S)


async def test_they_do_not_wait_for_long():
    takeover = Takeover()
    takeover.begin()
    await asyncio.wait_for(takeover.wait(), WITHIN_S)
