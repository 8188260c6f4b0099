"""Images (the console's "Workspaces")."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.schemas.base import Body, JsonObject, Name, Text, View
from greenroom.core.volumes import mappings_problem


class LauncherImage(View):
    """A workspace on the launcher."""

    image_id: UUID
    name: str
    friendly_name: str
    description: str
    image_src: str
    categories: list[str]
    available: Annotated[bool, Field(description="an Agent has the image; otherwise the first start takes longer")]
    ready: Annotated[bool, Field(description="a staged session is waiting: it opens at once")]


class ImageView(View):
    """A workspace, as its administrator sees it; the registry's token is never shown."""

    image_id: UUID
    name: str
    friendly_name: str
    description: str
    image_src: str
    image_type: str
    enabled: bool
    hidden: bool
    available: bool
    cores: float
    memory: Annotated[int, Field(description="reservation, bytes")]
    memory_limit: Annotated[int | None, Field(description="bytes; null = memory")]
    cpu_allocation_method: str
    docker_registry: str
    docker_user: str
    port: int
    protocol: str
    auth_user: str
    run_config: dict[str, Any]
    exec_config: dict[str, Any]
    volume_mappings: dict[str, Any]
    categories: list[str]
    persistent_profile_path: str | None
    persistent_profile_config: dict[str, Any]
    restrict_to_zone: bool
    zone_id: UUID | None
    zone_name: str | None
    restrict_to_server: bool
    server_id: UUID | None
    session_time_limit: Annotated[int | None, Field(description="s; null = that of the groups")]
    groups: list[UUID]
    created: datetime


def _exec_config(config: dict[str, Any]) -> dict[str, Any]:
    """Each command is split here, once, by shell rules; no shell of ours ever runs it (CONTRACT)."""
    for name, command in config.items():
        if name not in ("first_launch", "go", "assign"):
            raise ValueError(f"there is no command {name}; there are first_launch, go and assign")
        if not isinstance(command, dict) or "cmd" not in command:
            raise ValueError(f"{name} must be an object with cmd")
        check_command(name, command["cmd"])  # pyright: ignore[reportUnknownArgumentType]
        if not isinstance(command.get("environment") or {}, dict):  # pyright: ignore[reportUnknownMemberType]
            raise ValueError(f"{name}.environment must be an object")
    return config


def check_command(name: str, cmd: object) -> None:
    """Refuse a command that cannot be split or is empty.

    Raises:
        ValueError: with what is wrong.
    """
    if isinstance(cmd, list) and cmd and all(isinstance(part, str) for part in cmd):  # pyright: ignore[reportUnknownVariableType]
        return
    if not isinstance(cmd, str):
        raise ValueError(f"{name}.cmd must be a text or a list of texts")
    try:
        parts = shlex.split(cmd)
    except ValueError as error:
        raise ValueError(f"{name}.cmd cannot be split by shell rules: {error}") from error
    if not parts:
        raise ValueError(f"{name}.cmd is empty")


def _volume_mappings(mappings: dict[str, Any]) -> dict[str, Any]:
    if problem := mappings_problem(mappings):
        raise ValueError(problem)
    return mappings


ExecConfig = Annotated[JsonObject, AfterValidator(_exec_config)]
VolumeMappings = Annotated[JsonObject, AfterValidator(_volume_mappings)]
Cores = Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0, lt=1 << 60)]
Port = Annotated[int, Field(ge=1, le=65535)]
Categories = Annotated[list[Name], Field(max_length=20)]
TimeLimit = Annotated[int, Field(ge=0, le=1_000_000_000)]


class ImageFields(Body):
    """What can be set of a workspace besides its names."""

    description: Text = ""
    image_src: Text = ""
    enabled: bool = True
    hidden: bool = False
    cores: Cores = 2.0
    memory: Bytes = 2_768_000_000
    memory_limit: Bytes | None = None
    cpu_allocation_method: Literal["Inherit", "Shares", "Quotas"] = "Inherit"
    docker_registry: Text = ""
    docker_user: Text = ""
    docker_token: Text | None = None
    port: Port = 6901
    protocol: Literal["https", "http"] = "https"
    auth_user: Text = "kasm_user"
    run_config: JsonObject = {}
    exec_config: ExecConfig = {}
    volume_mappings: VolumeMappings = {}
    categories: Categories = []
    persistent_profile_path: Text | None = None
    persistent_profile_config: JsonObject = {}
    restrict_to_zone: bool = False
    zone_id: UUID | None = None
    restrict_to_server: bool = False
    server_id: UUID | None = None
    session_time_limit: TimeLimit | None = None
    filter_policy_id: UUID | None = None
    groups: Annotated[list[UUID], Field(description="whose members may use it")] = []


class ImagePatch(ImageFields):
    """Changes of a workspace; omitted fields stay."""

    name: Name = ""
    friendly_name: Name = ""


class ImageCreate(ImageFields):
    """A new workspace; without `groups` it is for All Users."""

    name: Name
    friendly_name: Name
