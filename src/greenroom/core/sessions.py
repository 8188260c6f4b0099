"""What a session is made of: the specification of its container and what is wanted of it.

These values travel in the check-in (wire), are stored as JSON in the session row (db) and are executed by a runtime.
Units: cores are CPU cores (fractions allowed), memory is bytes, times are seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

CpuMode = Literal["Shares", "Quotas"]
Protocol = Literal["https", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One folder of the host inside the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A command inside a session's container. `argv` is never passed through a shell of ours."""

    argv: tuple[str, ...]
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str | None = None
    deadline_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """Everything a runtime needs to create a session; fixed when the session row is inserted.

    `credential` is the random password of this container alone (environment VNC_PW); it is known to the Agent,
    never to the person. `allow_origin` is the list of `host` or `host:port` whose pages may open the stream,
    `upstream_auth` the `host[:port]` the Agent asks about unknown viewers; both are fixed at creation.
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
    run_config: dict[str, Any] = field(default_factory=dict[str, Any])
    allow_origin: tuple[str, ...] = ()
    upstream_auth: str = ""

    def hash(self) -> str:
        """16 hex digits that change with any field; stored as label of the container (`spec_hash`)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
