"""The specification of a session's container.

The session row stores the specification as JSON, the answer to a check-in contains it, and a runtime creates the
container from it. Units: cores are CPU cores (fractions allowed), memory is in bytes, times are in seconds.
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
"""The first part of the paths of streams, unless the zone sets another one."""

OPTIONAL: Final = {"optional": True}
"""The metadata of an optional field. The JSON and the hash of a specification contain such a field only if it differs
from its default, so that a new optional field does not change the hashes of existing containers.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of the host inside the container. A missing folder is created with the owner `uid` and `gid`; if the
    mount is `required`, the container is not created without the folder. `profile` is set for the user's persistent
    profile; with Reset, the folder is emptied before the container is created.
    """

    source: str
    target: str
    read_only: bool = False
    uid: int = field(default=1000, metadata=OPTIONAL)
    gid: int = field(default=1000, metadata=OPTIONAL)
    required: bool = field(default=False, metadata=OPTIONAL)
    profile: ProfileMode | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A command inside a session's container. Greenroom never passes `argv` through a shell."""

    argv: tuple[str, ...]
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str | None = None
    deadline_s: float = 60.0
    output_within_s: float = 0.2
    """The maximum wait for further output after the end of the command. A slow runtime may deliver output late, and a
    child process may keep the output open forever.
    """
    once: str = field(default="", metadata=OPTIONAL)
    """The id of a command that may run only once in a container. A runtime may store it and refuse a repetition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFile:
    """A file that is put into a container before it starts, such as a key. It and its folder belong to `uid` and `gid`.
    `path` is absolute; `mode` and `folder_mode` are modes of chmod. The content is a secret and must never be logged.
    """

    path: str
    content: str = field(repr=False)
    mode: int = 0o600
    folder_mode: int = 0o700
    uid: int = 1000
    gid: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of an image in addition to its desktop: on a separate `port`, or at the addresses of the page that
    begin with `folder`. If the service is not `allowed`, the session's viewers cannot use it.
    """

    name: str
    port: int = 0
    folder: str = ""
    allowed: bool = False


StoredSpec = dict[str, Any]
"""A `SessionSpec` as JSON, possibly of another version. From a session row it has no secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """All data that a runtime needs to create a session; fixed when the session row is inserted.

    `credential` is the random password of this container only (environment VNC_PW). The Agent gets it; the user never
    gets it. `allow_origin` lists each `host` or `host:port` whose pages may open the stream; `upstream_auth` is the
    `host[:port]` at which the Agent checks unknown viewers.
    """

    image: str
    image_id: str
    credential: str
    environment: dict[str, str] = field(default_factory=dict[str, str])
    cores: float = 0.1
    memory_bytes: int = 1 << 30
    """The limit of the container. The reservation is in the session row."""
    cpu_mode: CpuMode = "Shares"
    port: int = 6901
    protocol: Protocol = "https"
    auth_user: str = "kasm_user"
    mounts: tuple[Mount, ...] = ()
    network: str | None = None
    """The Docker network of the session; None = the network that the runtime chooses."""
    filter_policy: str | None = None
    first_launch: Exec | None = None
    run_config: RunConfig = field(default_factory=RunConfig)
    allow_origin: tuple[str, ...] = ()
    upstream_auth: str = ""
    disk_limit_bytes: int = field(default=0, metadata=OPTIONAL)
    """The limit for data outside mounted folders; 0 = no limit."""
    files: tuple[SessionFile, ...] = field(default=(), metadata=OPTIONAL)
    """Secrets of the session's user inside the container. In the session row they are encrypted, outside of `spec`."""
    proxy_path: str = field(default=PROXY_PATH, metadata=OPTIONAL)
    """The proxy path of the zone when the session was created: the first part of the session's path at the gateway."""
    page_path: str = field(default="/", metadata=OPTIONAL)
    """The folder of the page in the container, with a slash at both ends. In the session row, it may contain tokens."""
    ready_path: str = field(default="", metadata=OPTIONAL)
    """The path below `page_path` that must respond before the session is usable; empty = the page."""
    services: tuple[Service, ...] = field(default=(), metadata=OPTIONAL)

    def hash(self) -> str:
        """Return 16 hex digits that change with any field; stored as label of the container (`spec_hash`)."""
        return hashlib.sha256(json.dumps(self.parts(), sort_keys=True).encode()).hexdigest()[:16]

    def parts(self) -> StoredSpec:
        """Return the fields as JSON, without optional fields that have their default."""
        return _as_json(self)

    def stored(self) -> StoredSpec:
        """Return the fields as in a session row: without secrets, which have encrypted columns."""
        return {name: value for name, value in self.parts().items() if name not in SECRET}


SECRET: Final = frozenset({"credential", "files"})
"""Fields that are stored only encrypted."""


def _as_json(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        values = ((each, getattr(value, each.name)) for each in fields(value))
        return {each.name: _as_json(part) for each, part in values if not (each.metadata and part == each.default)}
    if isinstance(value, tuple):
        return [_as_json(part) for part in cast("tuple[object, ...]", value)]
    return value
