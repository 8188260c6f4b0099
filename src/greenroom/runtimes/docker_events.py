"""What Docker tells of containers as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, get_args

from greenroom.runtimes.base import Event, EventKind, RuntimeUnavailable
from greenroom.runtimes.docker_errors import translated
from greenroom.runtimes.docker_spec import SESSION

EVENTS: Final[dict[str, EventKind]] = {kind: kind for kind in get_args(EventKind)}


async def container_events(client: Any, of: Mapping[str, Sequence[str]]) -> AsyncGenerator[Event]:
    """What happens to containers from now on; `of` are the filters by which they are known.

    Raises:
        RuntimeUnavailable: the connection was lost.
    """
    source: Any = client.events
    subscriber: Any = source.subscribe(create_task=False)
    filters = {"type": ["container"], "event": list(EVENTS), **of}
    reading = asyncio.create_task(source.run(filters=filters), name="docker-events")
    try:
        while (data := await subscriber.get()) is not None:
            attributes: dict[str, str] = data["Actor"]["Attributes"]
            exit_code = attributes.get("exitCode")
            yield Event(
                session_id=attributes[SESSION],
                kind=EVENTS[data["Action"]],
                exit_code=None if exit_code is None else int(exit_code),
            )
        async with translated(asks=True):
            await reading
        raise RuntimeUnavailable("Docker ended the stream of events.")
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
