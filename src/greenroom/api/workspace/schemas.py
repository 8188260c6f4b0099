"""The bodies of workspaces (named `images` in addresses, fields and code) and of web filter policies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.bodies import Body, Json, JsonObject, Name, Text, View
from greenroom.core.catalogue.fetch_methods import FetchMethod, ImageProgress
from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import picture_problem
from greenroom.core.web_filter import MAX_DOMAINS, normal_domain
from greenroom.core.workspace import exec_config, page, run_config
from greenroom.core.workspace.definition import PullPolicy, reference_problem
from greenroom.core.workspace.volumes import MAX_PROFILE_BYTES, mappings_problem, profile_problem
from greenroom.db.workspace.filter_policies import StoredPolicy

T = TypeVar("T")


class LauncherImage(View):
    """A workspace on the launcher."""

    image_id: UUID
    name: str
    friendly_name: str
    description: str
    image_src: str
    categories: list[str]
    available: Annotated[bool, Field(description="true = an Agent has the image; false = the first start takes longer")]
    ready: Annotated[bool, Field(description="true = a staged session is ready for this user")]
    expected_s: Annotated[
        float | None,
        Field(
            description="expected seconds until the session is usable, from the latest starts; null = not possible now"
        ),
    ]
    reason: Annotated[
        str, Field(description="reason why it cannot be launched now, and the solution; empty = it can be launched")
    ]
    last_launched: Annotated[
        datetime | None, Field(description="latest launch by this user; null = none among the latest 50 launches")
    ]


class ImageProgressView(View, row=ImageProgress):
    """The progress of an Agent with an image."""

    how: Annotated[
        FetchMethod, Field(description="in state `pulling`: pulled from a registry, built on the host, or copied")
    ]
    reason: Annotated[str, Field(description="reason for this method, as a sentence; empty = not pulling")]
    progress: Annotated[int, Field(description="in state `pulling`: percent, 0 to 100")]
    size_bytes: Annotated[int, Field(description="size on the host's disk, or of the data to copy; 0 = unknown")]


class ImageOnAgent(ImageProgressView):
    """The progress of one Agent with the image of a workspace."""

    agent_id: UUID
    hostname: str
    zone_name: str
    digest: Annotated[str, Field(description="digest of the image that the Agent has under this name; empty = none")]
    error: Annotated[str, Field(description="reason of the last failure, as the container daemon reports it")]


class ImageView(View):
    """A workspace, for its administrator; the token of the registry is never returned."""

    image_id: UUID
    name: str
    friendly_name: str
    description: str
    notes: str
    image_src: str
    image_type: str
    enabled: bool
    hidden: bool
    available: Annotated[bool, Field(description="true = an Agent has the image")]
    agents: list[ImageOnAgent]
    cores: float
    memory: Annotated[int, Field(description="reserved memory, bytes")]
    memory_limit: Annotated[int | None, Field(description="bytes; null = `memory`")]
    disk_limit_bytes: Annotated[int | None, Field(description="maximum disk use of a session; null = no limit")]
    cpu_allocation_method: str
    pull_policy: str
    docker_registry: str
    docker_user: str
    port: int
    protocol: str
    auth_user: str
    page_path: str
    start_page: str
    ready_path: str
    port_map: Json
    run_config: Json
    exec_config: Json
    volume_mappings: Json
    categories: list[str]
    persistent_profile_path: str | None
    restrict_to_zone: bool
    zone_id: UUID | None
    zone_name: str | None
    restrict_to_server: bool
    server_id: UUID | None
    session_time_limit: Annotated[int | None, Field(description="seconds; null = limit of the groups")]
    filter_policy_id: UUID | None
    filter_policy_name: str | None
    filter_policy_force_disabled: bool
    allow_launch_variables: bool
    record_sessions: bool
    groups: list[UUID]
    warnings: Annotated[
        list[str],
        Field(description="settings without effect and missing images, with reasons; they do not prevent the change"),
    ]
    created: datetime


def _validated_by(check: Callable[[Json], Any]) -> AfterValidator:
    """Return a validator that calls a check of `core`; the error contains the sentence of the check."""

    def refuse(value: Json) -> Json:
        try:
            check(value)
        except Invalid as error:
            raise ValueError(error.message) from error
        return value

    return AfterValidator(refuse)


def _validated_by_problem(problem: Callable[[Any], str | None]) -> AfterValidator:
    """Return a validator that calls a check of `core`, which returns the reason for a refusal."""

    def refuse(value: T) -> T:
        if sentence := problem(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(refuse)


def _profile_path(path: str | None) -> str | None:
    if path and (problem := profile_problem(path)):
        raise ValueError(problem)
    return path or None


Reference = Annotated[Name, _validated_by_problem(reference_problem), Field(description="container image")]
FriendlyName = Annotated[Name, Field(description="name for users")]
RunConfig = Annotated[
    JsonObject, _validated_by(run_config.check_of_workspace), Field(description="options of the container")
]
ExecConfig = Annotated[
    JsonObject,
    _validated_by(exec_config.validated),
    Field(description="commands in the container: first_launch, go, assign"),
]
VolumeMappings = Annotated[
    JsonObject,
    _validated_by_problem(mappings_problem),
    Field(description='folders of the host: PATH={"bind": …, "mode": …}'),
]
ProfilePath = Annotated[Annotated[Text, Field(max_length=MAX_PROFILE_BYTES)] | None, AfterValidator(_profile_path)]
PagePath = Annotated[
    Text,
    _validated_by_problem(page.page_path_problem),
    Field(description="path of the page in the container; /{path}/ if the page needs the same path as in the browser"),
]
StartPage = Annotated[
    Text,
    _validated_by_problem(partial(page.relative_address_problem, "start_page")),
    Field(description="address of the page below page_path, such as vnc.html?resize=remote; empty = page_path itself"),
]
ReadyPath = Annotated[
    Text,
    _validated_by_problem(partial(page.relative_address_problem, "ready_path")),
    Field(description="address below page_path that must respond before a session is usable; empty = the page"),
]
PortMap = Annotated[
    JsonObject,
    _validated_by(page.validated_ports),
    Field(description='services of the image on other ports, such as {"audio": 4901}'),
]
CpuAllocationMethod = Annotated[
    Literal["Inherit", "Shares", "Quotas"], Field(description="shares or quotas of CPU time")
]
Cores = Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False, description="reserved CPU cores")]
Bytes = Annotated[int, Field(ge=6 << 20, lt=1 << 60)]
"""Memory of a container. Docker refuses less than 6 MiB."""
DiskLimit = Annotated[int, Field(ge=100 << 20, lt=1 << 60)]
"""The minimum is 100 MiB. An idle desktop writes about 10 MiB."""
Port = Annotated[int, Field(ge=1, le=65535)]
Categories = Annotated[list[Name], Field(max_length=20, description="categories on the launcher")]
TimeLimit = Annotated[int, Field(ge=0, le=1_000_000_000)]


class ImageFields(Body):
    """The fields of a workspace, except its names."""

    description: Text = ""
    notes: Annotated[Text, Field(description="notes for administrators; not visible to users")] = ""
    image_src: Annotated[Text, _validated_by_problem(picture_problem), Field(description="address of the picture")] = ""
    enabled: Annotated[bool, Field(description="users can launch it, and Agents fetch its image")] = True
    hidden: Annotated[bool, Field(description="not listed on the launcher")] = False
    cores: Cores = 2.0
    memory: Annotated[Bytes, Field(description="reserved memory, bytes")] = 2_768_000_000
    memory_limit: Annotated[Bytes | None, Field(description="maximum memory of a session, bytes; null = `memory`")] = (
        None
    )
    disk_limit_bytes: Annotated[
        DiskLimit | None, Field(description="maximum disk use of a session, bytes; null = no limit")
    ] = 10_000_000_000
    cpu_allocation_method: CpuAllocationMethod = "Inherit"
    pull_policy: Annotated[
        PullPolicy,
        Field(description="when Agents check for a newer image: missing = never, daily, always = every 15 minutes"),
    ] = "missing"
    docker_registry: Annotated[Text, Field(description="registry of the image")] = ""
    docker_user: Annotated[Text, Field(description="account at the registry")] = ""
    docker_token: Annotated[Text | None, Field(description="token of that account")] = None
    port: Annotated[Port, Field(description="port of the session's page in the container")] = 6901
    protocol: Annotated[Literal["https", "http"], Field(description="protocol of that page")] = "https"
    auth_user: Annotated[Text, Field(description="username for HTTP basic authentication at that page")] = "kasm_user"
    page_path: PagePath = "/"
    start_page: StartPage = ""
    ready_path: ReadyPath = ""
    port_map: PortMap = {}
    run_config: RunConfig = {}
    exec_config: ExecConfig = {}
    volume_mappings: VolumeMappings = {}
    categories: Categories = []
    persistent_profile_path: Annotated[
        ProfilePath, Field(description="folder of the host for each user's home; may contain {username}, {user_id}")
    ] = None
    restrict_to_zone: Annotated[bool, Field(description="run sessions only in the zone of the workspace")] = False
    zone_id: UUID | None = None
    restrict_to_server: Annotated[bool, Field(description="run sessions only on the Agent of the workspace")] = False
    server_id: UUID | None = None
    session_time_limit: Annotated[TimeLimit | None, Field(description="seconds; null = limit of the groups")] = None
    filter_policy_id: UUID | None = None
    filter_policy_force_disabled: Annotated[
        bool, Field(description="no web filter, even if a group of the user has a policy")
    ] = False
    allow_launch_variables: Annotated[
        bool,
        Field(description="launches can set variables of the container; off for workspaces with a single application"),
    ] = True
    record_sessions: Annotated[
        bool, Field(description="record a video of all sessions, also if no group of the user requires it")
    ] = False
    groups: Annotated[list[UUID], Field(description="groups whose members may use it")] = []


class ImagePatch(ImageFields):
    """Changes of a workspace; omitted fields keep their values."""

    name: Reference = ""
    friendly_name: FriendlyName = ""


class ImageCreate(ImageFields):
    """A new workspace; without `groups` it is for All Users."""

    name: Reference
    friendly_name: FriendlyName


Action = Literal["allow", "deny"]


def _domain(text: str) -> str:
    try:
        return normal_domain(text)
    except Invalid as error:
        raise ValueError(error.message) from error


def _sorted_unique(names: list[str]) -> list[str]:
    return sorted(set(names))


Domains = Annotated[
    list[Annotated[str, AfterValidator(_domain)]], Field(max_length=MAX_DOMAINS), AfterValidator(_sorted_unique)
]


class FilterPolicyView(View, row=StoredPolicy):
    """A web filter policy, with the numbers of workspaces, groups and sessions that use it."""

    filter_policy_id: UUID


class FilterPolicyFields(Body):
    """The fields of a policy, except its name. If a host belongs to several domains, the longest domain decides."""

    description: Text = ""
    default_action: Annotated[Action, Field(description="action for hosts that no list contains")] = "deny"
    allow: Annotated[Domains, Field(description="allowed domains, with all their subdomains")] = []
    deny: Annotated[Domains, Field(description="denied domains, with all their subdomains")] = []


class FilterPolicyPatch(FilterPolicyFields):
    """Changes of a policy; omitted fields keep their values. The changes also apply to running sessions."""

    name: Name = ""


class FilterPolicyCreate(FilterPolicyFields):
    """A new policy."""

    name: Name


class FilterDecisionView(View):
    """The decision of a policy about a host. Names that resolve to private addresses are refused in any case."""

    host: str
    port: int
    action: Action
    reason: str
