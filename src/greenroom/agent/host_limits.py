"""Tells when the sessions of this host are more than its limits are good for, and names the limit that one met.

Most limits end nothing when they are met: without inotify instances a desktop starts and paints, and programs that
watch files fail in it one by one. So the limits are looked at, and not only what failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from greenroom.core import host_limits
from greenroom.kit.host_limits import containers_here, read

LOOK_EVERY_S: Final = 60.0

Explained = Callable[[str, str], str]
"""`HostLimits.explained`."""


def as_it_is(failure: str, log_tail: str = "") -> str:
    """The failure, where nothing is known of the host."""
    del log_tail
    return failure


class HostLimits:
    """See the module.

    Args:
        hostname: the host's.
        log_line: writes a row (level, code, message) of the log that administrators read.
        limits: reads the host's limits.
        containers: counts what shares them.
    """

    def __init__(
        self,
        hostname: str,
        log_line: Callable[[str, str, str], None],
        limits: Callable[[], Mapping[str, int]] = read,
        containers: Callable[[], int] = containers_here,
    ) -> None:
        self._hostname = hostname
        self._log_line = log_line
        self._read = limits
        self._containers = containers
        self._values: Mapping[str, int] = {}
        self._said: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once; that a limit has become too low is said once, until it is enough again."""
        self._values = await asyncio.to_thread(self._read)
        containers = self._containers()
        low = host_limits.too_low(self._values, containers)
        if any(narrow.limit.name not in self._said for narrow in low):
            sentence = f"Of {self._hostname}: {host_limits.overfull(self._values, containers)}"
            self._log_line("WARNING", "agent-host-limit", sentence)
        self._said = frozenset(narrow.limit.name for narrow in low)

    def explained(self, failure: str, log_tail: str = "") -> str:
        """The failure, with what it has to do with this host's limits.

        Args:
            failure: a sentence.
            log_tail: what the container wrote last.
        """
        hint = host_limits.named(self._values, self._containers(), f"{failure}\n{log_tail}")
        return f"{failure} {hint}" if hint else failure
