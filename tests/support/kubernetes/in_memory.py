"""A namespace in memory, in place of an API server: objects are kept and merged, and nothing acts on them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec

from greenroom.runtimes.contract import ContainerConflict, ContainerMissing, RuntimeUnavailable
from greenroom.runtimes.kubernetes.cluster import Cluster


class Namespace(Cluster):
    """What of `Cluster` is asked by kinds. `on_get` is called before each look at one object, as time passes there;
    lists of `forbidden` kinds are refused."""

    def __init__(self, *objects: Any, forbidden: tuple[type, ...] = ()) -> None:
        self.namespace = "desks"
        self.objects: dict[tuple[type, str], Any] = {}
        self.forbidden = forbidden
        self.on_get: Callable[[], None] = lambda: None
        self.patched: list[tuple[str, dict[str, Any]]] = []
        for one in objects:
            self.put(one)

    def put(self, one: Any) -> None:
        """Make or replace it."""
        one.metadata.uid = one.metadata.uid or f"uid-of-{one.metadata.name}"
        self.objects[type(one), one.metadata.name] = one

    def names(self, kind: type) -> list[str]:
        """Of the objects of a kind that are there."""
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

    async def create(self, thing: Any) -> Any:
        if (type(thing), thing.metadata.name) in self.objects:
            raise ContainerConflict
        self.put(thing)
        return thing

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
        """It ends at once, so that all is looked at again."""
        for change in ():
            yield change


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
