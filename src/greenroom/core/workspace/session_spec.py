"""The specification of a session's container.

These values travel in the check-in (wire), are stored as JSON in the session row (db) and are executed by a runtime.
Units: cores are CPU cores (fractions allowed), memory is bytes, times are seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final, Literal, cast

from greenroom.core.workspace.run_config import RunConfig

CpuMode = Literal["Shares", "Quotas"]
Protocol = Literal["https", "http"]
ProfileMode = Literal["Enabled", "Reset"]

PROXY_PATH: Final = "desktop"
"""The first part of the paths of streams, where a zone has no other."""

LATER: Final = {"later": True}
"""Metadata of a field that the first release did not have: it counts only where it is not its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One folder of the host inside the container. A missing one is made for `uid` and `gid`, unless it is `required`
    to exist. `profile`: it is the user's persistent profile; with Reset it is emptied before the container is created.
    """

    source: str
    target: str
    read_only: bool = False
    uid: int = field(default=1000, metadata=LATER)
    gid: int = field(default=1000, metadata=LATER)
    required: bool = field(default=False, metadata=LATER)
    profile: ProfileMode | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A command inside a session's container. `argv` is never passed through a shell of ours."""

    argv: tuple[str, ...]
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str | None = None
    deadline_s: float = 60.0
    output_within_s: float = 0.2
    """How long to wait, after its end, for output while that is still open: a child may keep it open forever, and a
    late runtime may have more.
    """
    once: str = field(default="", metadata=LATER)
    """An id of the command if it may be run only once in the container's life: a runtime that can keep a mark in the
    container refuses it the second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFile:
    """A file put into a container before it starts, e.g. a key. It and its folder belong to `uid` and `gid`. `path` is
    absolute, `mode` and `folder_mode` are those of chmod. The content is a secret: never in a log.
    """

    path: str
    content: str = field(repr=False)
    mode: int = 0o600
    folder_mode: int = 0o700
    uid: int = 1000
    gid: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What an image serves beside its desktop: on a `port` of its own, or at all addresses of its page that begin with
    `folder`. Not `allowed` = refused to the session's viewers.
    """

    name: str
    port: int = 0
    folder: str = ""
    allowed: bool = False


StoredSpec = dict[str, Any]
"""A `SessionSpec` as JSON, perhaps of another version; from a session row without the secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """Everything a runtime needs to create a session; fixed when the session row is inserted.

    `credential` is the random password of this container alone (environment VNC_PW); the Agent knows it, the user never
    does. `allow_origin` is the list of `host` or `host:port` whose pages may open the stream, `upstream_auth` the
    `host[:port]` the Agent asks about unknown viewers.
    """

    image: str
    image_id: str
    credential: str
    environment: dict[str, str] = field(default_factory=dict[str, str])
    cores: float = 0.1
    memory_bytes: int = 1 << 30
    """Limit of the container; the reservation is on the session row."""
    cpu_mode: CpuMode = "Shares"
    port: int = 6901
    protocol: Protocol = "https"
    auth_user: str = "kasm_user"
    mounts: tuple[Mount, ...] = ()
    network: str | None = None
    filter_policy: str | None = None
    first_launch: Exec | None = None
    run_config: RunConfig = field(default_factory=RunConfig)
    allow_origin: tuple[str, ...] = ()
    upstream_auth: str = ""
    disk_limit_bytes: int = field(default=0, metadata=LATER)
    """For what it writes outside mounted folders; 0 = no limit."""
    files: tuple[SessionFile, ...] = field(default=(), metadata=LATER)
    """Secrets of the session's user inside the container; in the session row they are encrypted, beside `spec`."""
    proxy_path: str = field(default=PROXY_PATH, metadata=LATER)
    """The zone's when the session was made: the first part of its path at the gateway."""
    page_path: str = field(default="/", metadata=LATER)
    """The folder of the page in the container, with a slash at both ends; of a stored one perhaps a token."""
    ready_path: str = field(default="", metadata=LATER)
    """Below `page_path`, what has to answer before the session is usable; empty = the page."""
    services: tuple[Service, ...] = field(default=(), metadata=LATER)

    def hash(self) -> str:
        """16 hex digits that change with any field; stored as label of the container (`spec_hash`)."""
        return hashlib.sha256(json.dumps(self.parts(), sort_keys=True).encode()).hexdigest()[:16]

    def parts(self) -> StoredSpec:
        """All fields as JSON; later fields only where they are used. So a container made before a field existed still
        has the hash of the same specification.
        """
        return _plain(self)

    def stored(self) -> StoredSpec:
        """The fields as they are in a session row: without secrets, which have encrypted columns."""
        return {name: value for name, value in self.parts().items() if name not in SECRET}


SECRET: Final = frozenset({"credential", "files"})
"""Fields that are stored only encrypted."""


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        named = ((one, getattr(value, one.name)) for one in fields(value))
        return {one.name: _plain(part) for one, part in named if not (one.metadata and part == one.default)}
    if isinstance(value, tuple):
        return [_plain(part) for part in cast("tuple[object, ...]", value)]
    return value
