"""The placement of a new session: the candidate Agents in the order to try, and the reasons for rejected Agents.

The statement that inserts the row of the session reserves the capacity, so a candidate may be full by then. An Agent
offers `overcommit` cores for each core of its host. With CPU Shares, a session reserves offered cores. With CPU Quotas,
it reserves cores of the host, and each of them counts as `overcommit` offered cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, get_args

from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.liveness import Closed, ClosedCode, PlacementStatus, closed, start_failure
from greenroom.core.text import compared_sizes
from greenroom.core.workspace.session_spec import CpuMode
from greenroom.core.workspace.spec_builder import ImageFacts

Strategy = Literal["Least Load", "Most Load", "Least Kasms", "Most Kasms"]
ImageState = Literal["present", "pulling", "absent", "failed", "unknown"]

TOLERANCE: Final = 1e-6
"""The tolerance for comparisons of sums of fractional cores. The SQL of the reservation uses the same value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReadiness:
    """The state of an image on an Agent."""

    agent_id: str
    image_state: ImageState
    image_error: str = ""
    image_progress: int = 0
    image_changed: datetime | None = None
    """The time at which its host got another image with the same name; None = never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementAgent(ImageReadiness):
    """The data of an Agent that placement needs, with the state of the image. `cores` and `cores_allocated` are offered
    cores, after the overcommit and the overrides of administrators. Memory is in bytes.

    `overcommit` is the number of offered cores per core of the host; 1 if an administrator overrides the cores.
    `cpu_used` and `memory_used` are the used fractions of the host at the last check-in; None = not reported.
    """

    hostname: str
    status: PlacementStatus = "running"
    enabled: bool = True
    draining: bool = False
    cores: float = 0.0
    overcommit: float = 1.0
    memory: int = 0
    cores_allocated: float = 0.0
    memory_allocated: int = 0
    sessions: int = 0
    set_aside: int = 0
    """The number of quarantined sessions in `sessions`, which keep their reservation until they are deleted."""
    cpu_used: float | None = None
    memory_used: float | None = None
    disk: FreeDisk = field(default_factory=FreeDisk)
    """The disk of its host at its last check-in."""
    runtime_classes: tuple[str, ...] = ()
    """The runtimes that a workspace may request on its host, in addition to the default runtime of Docker."""
    can_add_secrets: bool = False
    """True if its web filters can add secrets to requests."""
    runtime_error: str = ""
    """The reason why the container runtime of its host does not answer, as a sentence; empty if it does."""
    crash_loop: str = ""
    """The reason why the Agent counts as crash-looping, as a sentence; empty if it does not."""
    image_state: ImageState = "present"
    edge_url: str = ""
    """The address of its edge gateway; empty if it has none."""
    silent: bool = False
    """True if it has not reported for longer than the check-in interval, or has closed its connection."""

    @property
    def failure(self) -> str:
        """The reason why the Agent cannot start sessions now, as a clause; empty if it can."""
        return start_failure(self.hostname, runtime_error=self.runtime_error, crash_loop=self.crash_loop)

    @property
    def closed(self) -> Closed | None:
        """The reason why the Agent takes no new sessions; None if it takes them."""
        return closed(self)

    @property
    def free_cores(self) -> float:
        return max(0.0, self.cores - self.cores_allocated)

    @property
    def free_memory(self) -> int:
        return max(0, self.memory - self.memory_allocated)

    @property
    def load(self) -> float:
        """The load, 0 to 1: the mean of the reserved and the used fraction. Each is the larger value of CPU and memory.

        The used fraction is measured, but it is seconds old and does not change during many launches. The reserved
        fraction is current, but is not measured. If no use was reported, the load is the reserved fraction.
        """
        reserved = max(_fraction(self.cores_allocated, self.cores), _fraction(self.memory_allocated, self.memory))
        measured = [min(1.0, used) for used in (self.cpu_used, self.memory_used) if used is not None]
        return (reserved + max(measured, default=reserved)) / 2

    def with_image(self, readiness: ImageReadiness | None) -> PlacementAgent:
        """Return the Agent with this state of an image; unchanged if the state was not reported (None)."""
        if readiness is None:
            return self
        return replace(
            self,
            image_state=readiness.image_state,
            image_error=readiness.image_error,
            image_progress=readiness.image_progress,
            image_changed=readiness.image_changed,
        )

    def with_one_more(self, request: PlacementRequest) -> PlacementAgent:
        """Return the Agent with one more session."""
        return replace(
            self,
            cores_allocated=self.cores_allocated + request.reserved_cores(self),
            memory_allocated=self.memory_allocated + request.memory,
            sessions=self.sessions + 1,
        )

    def without_session(self, session: PlacementRequest) -> PlacementAgent:
        """Return the Agent without one of its sessions."""
        return replace(
            self,
            cores_allocated=self.cores_allocated - session.reserved_cores(self),
            memory_allocated=self.memory_allocated - session.memory,
            sessions=self.sessions - 1,
        )


def serves(agent: PlacementAgent) -> bool:
    """True if users can get the staged sessions on the Agent. It may have no disk for new sessions."""
    return agent.status == "running" and agent.enabled and not agent.draining


def _fraction(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 1.0


RESTRICTED_TO: Final = "the workspace is restricted to"
HOME_KEPT_ON: Final = "the user's home folder of this workspace is kept on"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRequest:
    """The requirements of a session for its Agent. `cores` are those of the workspace; memory is in bytes. An empty
    `runtime_class` is the default runtime of Docker. `only_agent_id` is the only permitted Agent; None = any Agent."""

    image: str
    cores: float
    memory: int
    cpu_mode: CpuMode = "Shares"
    only_agent_id: str | None = None
    only_reason: str = RESTRICTED_TO
    """The reason why only that Agent is permitted, as a clause to which the name of the Agent is appended."""
    runtime_class: str = ""
    with_secrets: bool = False
    """True if its web filter must add secrets to requests."""

    def reserved_cores(self, agent: PlacementAgent) -> float:
        """Return the number of offered cores that the session reserves on the Agent. The SQL function `reserved_cores`
        computes the same number.
        """
        return self.cores * agent.overcommit if self.cpu_mode == "Quotas" else self.cores


def placement_request_of(image: ImageFacts) -> PlacementRequest:
    """Return the requirements of a session of this workspace."""
    return PlacementRequest(
        image=image.name,
        cores=image.cores,
        memory=image.memory,
        cpu_mode=image.cpu_mode,
        only_agent_id=image.only_agent_id,
        runtime_class=image.run_config.get("runtime", ""),
    )


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why an Agent cannot run the session. docs/reference/staging.md lists the values of `code`. `reason` is
    a sentence without a full stop. `waiting_helps` is False if the Agent has no room even without other sessions.
    """

    agent: PlacementAgent
    code: str
    reason: str
    waiting_helps: bool = True

    @property
    def is_temporary(self) -> bool:
        """True if the only obstacle is a missing image that the Agent pulls or will pull."""
        return self.code == "image_unavailable" and self.agent.image_state in ("absent", "pulling")


@dataclass(frozen=True, slots=True)
class Placement:
    """The candidates in the order to try, and the rejections of all other Agents."""

    candidates: tuple[PlacementAgent, ...]
    rejected: tuple[Rejection, ...]


SORT_KEYS: Final[dict[Strategy, Callable[[PlacementAgent], tuple[float, str]]]] = {
    "Least Load": lambda agent: (agent.load, agent.agent_id),
    "Most Load": lambda agent: (-agent.load, agent.agent_id),
    "Least Kasms": lambda agent: (agent.sessions, agent.agent_id),
    "Most Kasms": lambda agent: (-agent.sessions, agent.agent_id),
}
"""Load Balance Strategy → sort key. Agents with equal values are sorted by id, so that results are reproducible."""


def place(agents: Sequence[PlacementAgent], request: PlacementRequest, strategy: Strategy) -> Placement:
    """Return the Agents of a zone that can run the session, sorted by `strategy` with silent Agents last, and the
    rejections of all other Agents.
    """
    permitted_hostname = next((agent.hostname for agent in agents if agent.agent_id == request.only_agent_id), None)
    checked = [(agent, _rejection(agent, request, permitted_hostname)) for agent in agents]
    accepted = (agent for agent, rejection in checked if rejection is None)
    candidates = sorted(accepted, key=lambda agent: (agent.silent, SORT_KEYS[strategy](agent)))
    rejected = sorted((r for _, r in checked if r is not None), key=lambda r: (r.agent.hostname, r.agent.agent_id))
    return Placement(tuple(candidates), tuple(rejected))


def sessions_with_room(placement: Placement, request: PlacementRequest) -> int:
    """Return the number of sessions with these requirements for which the candidates have room. Cores below
    `TOLERANCE` count as `TOLERANCE`."""
    return sum(
        min(
            int((agent.cores - agent.cores_allocated + TOLERANCE) / max(request.reserved_cores(agent), TOLERANCE)),
            (agent.memory - agent.memory_allocated) // request.memory,
        )
        for agent in placement.candidates
    )


AgentRule = Literal["restriction", "status", "acceptance", "disk", "image", "capacity"]
"""A rule that an Agent must pass to run a session."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The first rule that an Agent does not pass, with the code and the reason of the `Rejection`."""

    rule: AgentRule
    code: str
    reason: str


def obstacle_of(agent: PlacementAgent, request: PlacementRequest, permitted_hostname: str | None) -> Obstacle | None:
    """Return the obstacle of the Agent, by the first of `RULES` that it does not pass; None if it can run the session.
    `permitted_hostname` is the host name of the only permitted Agent, if that Agent is in the zone.
    """
    if request.only_agent_id not in (None, agent.agent_id):
        allowed = f"Agent {permitted_hostname}" if permitted_hostname else "an Agent that is not in this zone"
        return Obstacle("restriction", "restricted", f"{agent.hostname}: {request.only_reason} {allowed}")
    reason = agent.closed
    if reason is not None and reason.code != "disk":
        return _closed_obstacle(agent, reason)
    if (found := _requirement_obstacle(agent, request)) is not None:
        return Obstacle("acceptance", *found)
    if reason is not None:
        return _closed_obstacle(agent, reason)
    if (found := _image_obstacle(agent, request)) is not None:
        return Obstacle("image", *found)
    found = _capacity_obstacle(agent, request)
    return Obstacle("capacity", *found) if found else None


def _rejection(agent: PlacementAgent, request: PlacementRequest, permitted_hostname: str | None) -> Rejection | None:
    obstacle = obstacle_of(agent, request, permitted_hostname)
    if obstacle is None:
        return None
    waiting_helps = True
    if obstacle.rule != "restriction":
        empty = replace(agent, cores_allocated=0.0, memory_allocated=0)
        waiting_helps = _capacity_obstacle(empty, request) is None
    return Rejection(agent, obstacle.code, obstacle.reason, waiting_helps=waiting_helps)


_CLOSED: Final[dict[ClosedCode, tuple[AgentRule, str]]] = {
    "status": ("status", "agent_missing"),
    "disabled": ("acceptance", "agent_disabled"),
    "draining": ("acceptance", "agent_disabled"),
    "runtime": ("acceptance", "agent_missing"),
    "disk": ("disk", "no_disk"),
}


def _closed_obstacle(agent: PlacementAgent, reason: Closed) -> Obstacle:
    rule, code = _CLOSED[reason.code]
    waits_for_approval = agent.status == "pending" and not agent.enabled
    return Obstacle(rule, "agent_disabled" if waits_for_approval else code, reason.reason)


def _requirement_obstacle(agent: PlacementAgent, request: PlacementRequest) -> tuple[str, str] | None:
    name, runtime_class = agent.hostname, request.runtime_class
    if runtime_class and runtime_class not in agent.runtime_classes:
        return "restricted", f"{name} does not offer the runtime {runtime_class} of the workspace"
    if request.with_secrets and not agent.can_add_secrets:
        return "adds_no_secrets", f"{name} cannot add secrets to requests, and the lease has some"
    return None


def _image_obstacle(agent: PlacementAgent, request: PlacementRequest) -> tuple[str, str] | None:
    if agent.image_state in ("present", "unknown"):
        return None
    why = {
        "pulling": f"is still pulling image {request.image} ({agent.image_progress} %)",
        "absent": f"does not have image {request.image} yet",
        "failed": f"cannot get image {request.image}: {_error_without_image(agent, request.image)}",
    }[agent.image_state]
    return "image_unavailable", f"{agent.hostname} {why}"


def _error_without_image(agent: PlacementAgent, image: str) -> str:
    """Return the error of the image without the name of the image."""
    error = agent.image_error.removeprefix(f"The image {image} could not be fetched: ").rstrip(".")
    return error or "no reason was given"


def _capacity_obstacle(agent: PlacementAgent, request: PlacementRequest) -> tuple[str, str] | None:
    if agent.cores_allocated + request.reserved_cores(agent) > agent.cores + TOLERANCE:
        return "no_capacity", _too_few_cores(agent, request) + _quarantined(agent)
    if agent.memory_allocated + request.memory > agent.memory:
        free, memory, needed = compared_sizes(agent.free_memory, agent.memory, request.memory)
        return "no_capacity", (
            f"{agent.hostname} has {free} of {memory} memory free, {needed} are needed{_quarantined(agent)}"
        )
    return None


def _quarantined(agent: PlacementAgent) -> str:
    if not agent.set_aside:
        return ""
    noun = "session" if agent.set_aside == 1 else "sessions"
    return f" ({agent.set_aside} quarantined {noun} can be deleted)"


def _too_few_cores(agent: PlacementAgent, request: PlacementRequest) -> str:
    """Return the sentence about too few cores. For CPU Quotas, it counts cores of the host, as the workspace does."""
    divisor, purpose = (agent.overcommit, " for a quota") if request.cpu_mode == "Quotas" else (1.0, "")
    free, offered = cores_text(agent.free_cores / divisor), cores_text(agent.cores / divisor)
    return f"{agent.hostname} has {free} of {offered} cores free{purpose}, {cores_text(request.cores)} are needed"


RULES: Final[tuple[AgentRule, ...]] = get_args(AgentRule)
"""The rules in the order in which they are checked."""


def cores_text(cores: float) -> str:
    """Return cores as text, with at most two decimals."""
    return f"{round(cores, 2):g}"
