"""A namespace in memory instead of an API server: objects are stored and merged. For unit tests."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from lightkube.resources.core_v1 import Pod

from greenroom.runtimes.contract import ContainerConflict, ContainerMissing, RuntimeUnavailable
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.objects import status


class Namespace(Cluster):
    """The methods of `Cluster` that have a kind as argument; nothing acts on the objects. `on_get` is called before
    each read of an object, to simulate time; lists of `forbidden` kinds are refused."""

    def __init__(self, *objects: Any, forbidden: tuple[type, ...] = ()) -> None:
        self.namespace = "desks"
        self.objects: dict[tuple[type, str], Any] = {}
        self.forbidden = forbidden
        self.on_get: Callable[[], None] = lambda: None
        self.patched: list[tuple[str, dict[str, Any]]] = []
        for one in objects:
            self.put(one)

    def put(self, one: Any) -> Any:
        """Create or replace an object and return the stored one."""
        one.metadata.uid = one.metadata.uid or f"uid-of-{one.metadata.name}"
        self.objects[type(one), one.metadata.name] = one
        return one

    def names(self, kind: type) -> list[str]:
        """The names of the objects of a kind."""
        return sorted(name for of, name in self.objects if of is kind)

    async def get(self, kind: type[Any], name: str) -> Any:
        self.on_get()
        return self.objects.get((kind, name))

    async def list(self, kind: type[Any], labels: Mapping[str, str] | None = None) -> tuple[list[Any], str]:
        if kind in self.forbidden:
            raise RuntimeUnavailable("This Agent may not do this.")
        found = [one for (of, _), one in self.objects.items() if of is kind]
        wanted = dict(labels or {}).items()
        return [one for one in found if wanted <= (one.metadata.labels or {}).items()], "1"

    async def list_global(self, kind: type[Any], labels: Mapping[str, str] | None = None) -> list[Any]:
        return (await self.list(kind, labels))[0]

    async def list_fields(self, kind: type[Any], fields: Mapping[str, str]) -> list[Any]:
        found, _ = await self.list(kind)
        return [one for one in found if all(_field(one, path) == value for path, value in fields.items())]

    async def create(self, resource: Any) -> Any:
        if (type(resource), resource.metadata.name) in self.objects:
            raise ContainerConflict
        return self.put(resource)

    async def patch(self, kind: type[Any], name: str, changes: dict[str, Any]) -> Any:
        if (before := self.objects.get((kind, name))) is None:
            raise ContainerMissing
        self.patched.append((name, changes))
        merged = _merged(msgspec.to_builtins(before), changes)
        self.objects[kind, name] = msgspec.convert(merged, type=kind)
        return self.objects[kind, name]

    async def delete(self, kind: type[Any], name: str, uid: str | None = None, grace_s: int | None = None) -> bool:
        del uid, grace_s
        return self.objects.pop((kind, name), None) is not None

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[tuple[str, Any]]:
        """End at once, so that everything is listed again."""
        for change in ():
            yield change


class WithNodes(Namespace):
    """A namespace that simulates nodes: `place` has the effects of scheduler and node on a new Pod. A deleted Pod on a
    node remains until the node has confirmed its end, unless the grace period is 0.

    `deleted` has the grace period of each requested deletion; `conflicts` refuse the next creations.
    """

    def __init__(self, *, nodes_answer: bool = True, place: Callable[[Pod], None] = lambda _: None) -> None:
        super().__init__()
        self.nodes_answer = nodes_answer
        self.deleted: list[tuple[str, int | None]] = []
        self.conflicts: list[str] = []
        self._place = place
        self._uids = itertools.count(1)
        self._watches: list[asyncio.Queue[tuple[str, Any]]] = []

    def put(self, one: Any) -> Any:
        kept = copy.deepcopy(one)
        kept.metadata.uid = kept.metadata.uid or f"uid-{next(self._uids)}"
        return copy.deepcopy(super().put(kept))

    async def get(self, kind: type[Any], name: str) -> Any:
        return copy.deepcopy(await super().get(kind, name))

    async def list(self, kind: type[Any], labels: Mapping[str, str] | None = None) -> tuple[list[Any], str]:
        return copy.deepcopy(await super().list(kind, labels))

    async def create(self, resource: Any) -> Any:
        if self.conflicts:
            raise ContainerConflict(self.conflicts.pop(0))
        if isinstance(resource, Pod):
            self._place(resource)
        return copy.deepcopy(await super().create(resource))

    async def delete(self, kind: type[Any], name: str, uid: str | None = None, grace_s: int | None = None) -> bool:
        thing = self.objects.get((kind, name))
        if thing is None or uid not in (None, thing.metadata.uid):
            return False
        self.deleted.append((name, grace_s))
        if kind is Pod and grace_s != 0 and thing.spec.nodeName and not self.nodes_answer:
            thing.metadata.deletionTimestamp = datetime.now(UTC) + timedelta(seconds=grace_s or 30)
        else:
            del self.objects[kind, name]
            for queue in self._watches:
                queue.put_nowait(("DELETED", thing))
        return True

    async def watch(self, kind: type[Any], **_: object) -> AsyncGenerator[tuple[str, Any]]:
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._watches.append(queue)
        while True:
            change, thing = await queue.get()
            if type(thing) is kind:
                yield change, copy.deepcopy(thing)

    def pods(self) -> dict[str, str]:
        """Name → phase of the existing Pods."""
        return {name: status(pod).phase or "" for (kind, name), pod in self.objects.items() if kind is Pod}


def _field(one: Any, path: str) -> Any:
    for name in path.split("."):
        one = getattr(one, name, None)
    return one


def _merged(before: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    kept = before if isinstance(before, dict) else {}
    merged = {**kept, **{name: _merged(kept.get(name), value) for name, value in changes.items()}}
    return {name: value for name, value in merged.items() if value is not None}
