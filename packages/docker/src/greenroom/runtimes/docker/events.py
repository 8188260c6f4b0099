"""The events of containers, and the progress of image pulls."""

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

EVENT_KINDS: Final[dict[str, EventKind]] = {kind: kind for kind in get_args(EventKind)}
"""The action in an event of Docker → the kind of the event."""


async def container_events(client: Any, label_filters: Mapping[str, Sequence[str]]) -> AsyncGenerator[ContainerEvent]:
    """Yield the future events of the containers that match `label_filters`.

    Raises:
        RuntimeUnavailable: the connection was lost.
    """
    docker_events: Any = client.events
    subscriber: Any = docker_events.subscribe(create_task=False)
    filters = {"type": ["container"], "event": list(EVENT_KINDS), **label_filters}
    reader = asyncio.create_task(docker_events.run(filters=filters), name="docker-events")
    try:
        while (data := await subscriber.get()) is not None:
            attributes: dict[str, str] = data["Actor"]["Attributes"]
            exit_code = attributes.get("exitCode")
            yield ContainerEvent(
                session_id=attributes[SESSION],
                kind=EVENT_KINDS[data["Action"]],
                exit_code=None if exit_code is None else int(exit_code),
            )
        async with translated(read_only=True):
            await reader
        raise RuntimeUnavailable("Docker ended the stream of events.")
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


DOWNLOAD_WEIGHT: Final = 0.8
"""The fraction of a layer's progress for its download; the rest is for its extraction."""


def with_registry(name: str) -> str:
    """Return the name of an image with its registry, which a pull with a log-in needs: `docker.io/desk:1` for
    `desk:1`."""
    has_registry = registry_of(name) != DEFAULT_REGISTRY or name.startswith(f"{DEFAULT_REGISTRY}/")
    return name if has_registry else f"{DEFAULT_REGISTRY}/{name}"


class PullProgress:
    """The progress of a pull in percent, which never decreases. Each layer has the weight of its bytes, or the mean of
    the other layers if its size is unknown. Layers that are already on the host do not count.
    """

    def __init__(self) -> None:
        self._done: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._percent = 0

    def update(self, line: DockerJson) -> int:
        """Process one line of the stream and return the progress, 0-99."""
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
            self._done[layer] = DOWNLOAD_WEIGHT + (1 - DOWNLOAD_WEIGHT) * current / total
        elif status in ("Download complete", "Verifying Checksum"):
            self._done[layer] = DOWNLOAD_WEIGHT
        elif status == "Downloading" and total:
            self._done[layer] = DOWNLOAD_WEIGHT * current / total
        elif status in ("Pulling fs layer", "Waiting"):
            self._done.setdefault(layer, 0.0)
        self._percent = max(self._percent, min(99, self._current_percent()))
        return self._percent

    def _current_percent(self) -> int:
        if not self._done:
            return 0
        mean = fmean(self._sizes.values()) if self._sizes else 1.0
        weights = {name: self._sizes.get(name, mean) for name in self._done}
        return int(100 * sum(self._done[name] * weight for name, weight in weights.items()) / sum(weights.values()))
