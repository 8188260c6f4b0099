"""Running calls of providers: an error of one does not affect the others."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.core.errors import LeaseLost
from greenroom.manager.machines.calls import CallsInProgress, ProviderCallOutcome


async def test_outcomes_of_others_that_ended_with_one_that_failed_are_kept():
    async def good() -> ProviderCallOutcome:
        return ProviderCallOutcome("good", error="The cloud is closed.")

    async def bad() -> ProviderCallOutcome:
        raise LeaseLost("The term is over.")

    calls = CallsInProgress(asyncio.Event().set)
    calls.begin("good", good())
    calls.begin("bad", bad())
    with pytest.raises(ExceptionGroup) as caught:
        await calls.outcomes(5.0)
    assert [type(error) for error in caught.value.exceptions] == [LeaseLost]
    assert calls.pools == {"good"}
    assert await calls.outcomes(5.0) == [ProviderCallOutcome("good", error="The cloud is closed.")]
    assert calls.pools == frozenset()
