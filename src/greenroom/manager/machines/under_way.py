"""Calls of providers that are under way, by machine pool: a round waits for none of them for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from greenroom.manager.machines.calls import Outcome


class UnderWay:
    """`done` is called when one of them ends."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._tasks: dict[asyncio.Task[Outcome], str] = {}

    @property
    def pools(self) -> frozenset[str]:
        """Pools with calls that have not ended, or whose outcome was not taken yet."""
        return frozenset(self._tasks.values())

    def begin(self, machine_pool_id: str, call: Coroutine[Any, Any, Outcome]) -> None:
        task = asyncio.create_task(call, name=f"provider of {machine_pool_id}")
        self._tasks[task] = machine_pool_id
        task.add_done_callback(lambda _: self._done())

    async def outcomes(self, within_s: float) -> list[Outcome]:
        """Of calls that have ended, after this time at the latest; each once.

        Raises:
            ExceptionGroup: errors of the term or the database; the outcomes of others are kept for the next time.
        """
        if not self._tasks:
            return []
        ended, _ = await asyncio.wait(self._tasks, timeout=within_s)
        failed = {task: error for task in ended if isinstance(error := task.exception(), Exception)}
        for task in failed or ended:
            del self._tasks[task]
        if failed:
            raise ExceptionGroup("calls of providers failed", list(failed.values()))
        return [task.result() for task in ended]

    async def stop(self) -> None:
        """End all. What a provider was asked for may come all the same, and is found by its name."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
