"""Docker's event streams: container events, and the progress of a pull."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from statistics import fmean
from typing import Any, Final, get_args

from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of
from greenroom.runtimes.contract import ContainerEvent, EventKind, RuntimeUnavailable
from greenroom.runtimes.contract.containers import SESSION
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import translated

EVENTS: Final[dict[str, EventKind]] = {kind: kind for kind in get_args(EventKind)}


async def container_events(client: Any, of: Mapping[str, Sequence[str]]) -> AsyncGenerator[ContainerEvent]:
    """Events of containers from now on; `of` are the filters for them.

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
            yield ContainerEvent(
                session_id=attributes[SESSION],
                kind=EVENTS[data["Action"]],
                exit_code=None if exit_code is None else int(exit_code),
            )
        async with translated(read_only=True):
            await reading
        raise RuntimeUnavailable("Docker ended the stream of events.")
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


DOWNLOAD: Final = 0.8
"""Weight of downloading in the whole; the rest is unpacking."""


def with_registry(name: str) -> str:
    """The name of the image with its registry, which a log-in needs: `docker.io/desk:1` for `desk:1`."""
    is_named = registry_of(name) != DEFAULT_REGISTRY or name.startswith(f"{DEFAULT_REGISTRY}/")
    return name if is_named else f"{DEFAULT_REGISTRY}/{name}"


class PullProgress:
    """The percentage of a pull, never falling. Layers count by their bytes, a layer of unknown size as the mean of the
    others; layers that are already here do not count."""

    def __init__(self) -> None:
        self._done: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._percent = 0

    def after(self, line: DockerJson) -> int:
        """The percentage (0-99) after one line of the stream."""
        layer, status = line.get("id"), line.get("status", "")
        detail: dict[str, int] = line.get("progressDetail") or {}
        current, total = detail.get("current", 0), detail.get("total", 0)
        if layer is None:
            return self._percent
        if total:
            self._sizes[layer] = max(total, self._sizes.get(layer, 0))
        if status == "Pull complete":
            self._done[layer] = 1.0
        elif status == "Extracting" and total:
            self._done[layer] = DOWNLOAD + (1 - DOWNLOAD) * current / total
        elif status in ("Download complete", "Verifying Checksum"):
            self._done[layer] = DOWNLOAD
        elif status == "Downloading" and total:
            self._done[layer] = DOWNLOAD * current / total
        elif status in ("Pulling fs layer", "Waiting"):
            self._done.setdefault(layer, 0.0)
        self._percent = max(self._percent, min(99, self._now()))
        return self._percent

    def _now(self) -> int:
        if not self._done:
            return 0
        mean = fmean(self._sizes.values()) if self._sizes else 1.0
        weights = {name: self._sizes.get(name, mean) for name in self._done}
        return int(100 * sum(self._done[name] * weight for name, weight in weights.items()) / sum(weights.values()))
