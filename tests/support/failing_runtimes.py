"""Runtimes that fail, wrapped around a working one: each fails in a way that has occurred in production.

A wrapper has every method of `runtimes.contract.Runtime` and forwards the calls that it does not change.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from greenroom.runtimes.contract import Runtime, RuntimeUnavailable


class WrappedRuntime:
    """A runtime that forwards every call to `runtime` and counts the calls in `calls`; a subclass overrides
    `around`."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.runtime, name)
        if not inspect.iscoroutinefunction(method):
            return method

        @functools.wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return await self.around(name, functools.partial(method, *args, **kwargs))

        return call

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Perform `call`, the method `name` with its arguments bound."""
        return await call()


class FailingRuntime(WrappedRuntime):
    """A runtime whose method `name` raises `error` at its calls number `at` (from 1), or at every call, without any
    effect."""

    def __init__(
        self, runtime: Runtime, name: str, error: Exception | None = None, at: Collection[int] | None = None
    ) -> None:
        super().__init__(runtime)
        self.name = name
        self.error = error or RuntimeUnavailable()
        self.at = at

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        if name == self.name and (self.at is None or self.calls[name] in self.at):
            raise self.error
        return await call()


class ReplyLostRuntime(FailingRuntime):
    """A runtime that performs the method `name` and still raises an error: the reply was lost."""

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        result = await call()
        if name == self.name and (self.at is None or self.calls[name] in self.at):
            raise self.error
        return result


class SlowRuntime(WrappedRuntime):
    """A runtime whose methods `names` take `delay_s` longer; without names, all methods."""

    def __init__(self, runtime: Runtime, delay_s: float, names: Collection[str] = ()) -> None:
        super().__init__(runtime)
        self.delay_s = delay_s
        self.names = names

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        if not self.names or name in self.names:
            await asyncio.sleep(self.delay_s)
        return await call()


class HeldRuntime(WrappedRuntime):
    """A runtime whose method `name` waits for `release` before it is performed; `reached` is set when a caller
    waits."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        super().__init__(runtime)
        self.name = name
        self.reached = asyncio.Event()
        self.release = asyncio.Event()

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        if name == self.name:
            self.reached.set()
            await self.release.wait()
        return await call()
