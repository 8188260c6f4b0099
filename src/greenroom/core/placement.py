"""Which Agent a new session goes to: ordered candidates, and for every other Agent the reason it was rejected.

Pure. The same function serves on-demand launches and the refill of pools; the reservation itself is made by the
statement that inserts the session row, so a candidate may still turn out to be full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

Strategy = Literal["Least Load", "Most Load", "Least Kasms", "Most Kasms"]
ImageState = Literal["present", "pulling", "absent", "failed", "unknown"]

TOLERANCE: Final = 1e-6
"""Sums of fractional cores are compared with this slack; the SQL of the reservation uses the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An Agent as placement sees it. Cores are offered cores (overcommit and overrides applied), memory is bytes."""

    agent_id: str
    hostname: str
    status: str = "running"
    enabled: bool = True
    draining: bool = False
    cores: float = 0.0
    memory: int = 0
    cores_allocated: float = 0.0
    memory_allocated: int = 0
    sessions: int = 0
    image_state: ImageState = "present"
    image_error: str = ""
    image_progress: int = 0

    @property
    def free_cores(self) -> float:
        """Cores that can still be reserved."""
        return max(0.0, self.cores - self.cores_allocated)

    @property
    def free_memory(self) -> int:
        """Bytes that can still be reserved."""
        return max(0, self.memory - self.memory_allocated)

    @property
    def load(self) -> float:
        """The larger of the reserved fractions of cores and memory.

        Reservations, not measured use: they are exact at the moment of a burst, measurements are seconds old.
        """
        of_cores = self.cores_allocated / self.cores if self.cores > 0 else 1.0
        of_memory = self.memory_allocated / self.memory if self.memory > 0 else 1.0
        return max(of_cores, of_memory)

    def with_one_more(self, cores: float, memory: int) -> AgentView:
        """The same Agent after one more session was reserved on it."""
        return replace(
            self,
            cores_allocated=self.cores_allocated + cores,
            memory_allocated=self.memory_allocated + memory,
            sessions=self.sessions + 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRequest:
    """What is to be placed: reserved cores, reserved memory in bytes, the image, and the only Agent allowed, if any."""

    image: str
    cores: float
    memory: int
    only_agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one Agent cannot take the session; `code` is one of CONTRACT's, `reason` a sentence with the numbers."""

    agent: AgentView
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Candidates in the order in which they are to be tried, and everybody else with the reason."""

    candidates: tuple[AgentView, ...]
    rejected: tuple[Rejection, ...]


ORDER: Final[dict[Strategy, Callable[[AgentView], tuple[float, str]]]] = {
    "Least Load": lambda agent: (agent.load, agent.agent_id),
    "Most Load": lambda agent: (-agent.load, agent.agent_id),
    "Least Kasms": lambda agent: (agent.sessions, agent.agent_id),
    "Most Kasms": lambda agent: (-agent.sessions, agent.agent_id),
}
"""Load Balance Strategy → sort key; ties go by id, so that equal snapshots give equal plans."""


def place(agents: Sequence[AgentView], request: PlacementRequest, strategy: Strategy) -> Placement:
    """Divide the Agents of a zone into ordered candidates and rejected ones."""
    verdicts = [(agent, _rejection(agent, request)) for agent in agents]
    candidates = sorted((agent for agent, rejection in verdicts if rejection is None), key=ORDER[strategy])
    rejected = sorted((r for _, r in verdicts if r is not None), key=lambda r: (r.agent.hostname, r.agent.agent_id))
    return Placement(tuple(candidates), tuple(rejected))


def _rejection(agent: AgentView, request: PlacementRequest) -> Rejection | None:
    for check in _CHECKS:
        found = check(agent, request)
        if found is not None:
            return Rejection(agent, *found)
    return None


def _wrong_agent(agent: AgentView, request: PlacementRequest) -> tuple[str, str] | None:
    if request.only_agent_id in (None, agent.agent_id):
        return None
    return "restricted", f"{agent.hostname}: the workspace is restricted to another Agent"


def _not_running(agent: AgentView, request: PlacementRequest) -> tuple[str, str] | None:
    del request
    if agent.status == "running":
        return None
    why = {
        "pending": "is waiting for its first complete check-in",
        "missing": "is missing: it has not checked in for some time",
        "dead": "is dead: it has not checked in for a long time",
    }.get(agent.status, f"is {agent.status}")
    return "agent_missing", f"{agent.hostname} {why}"


def _disabled(agent: AgentView, request: PlacementRequest) -> tuple[str, str] | None:
    del request
    if not agent.enabled:
        return "agent_disabled", f"{agent.hostname} is disabled"
    if agent.draining:
        return "agent_disabled", f"{agent.hostname} is draining and takes no new sessions"
    return None


def _no_image(agent: AgentView, request: PlacementRequest) -> tuple[str, str] | None:
    if agent.image_state in ("present", "unknown"):
        return None
    why = {
        "pulling": f"is still pulling image {request.image} ({agent.image_progress} %)",
        "absent": f"does not hold image {request.image}",
        "failed": f"cannot get image {request.image}: {agent.image_error.rstrip('.') or 'no reason was given'}",
    }[agent.image_state]
    return "image_unavailable", f"{agent.hostname} {why}"


def _no_capacity(agent: AgentView, request: PlacementRequest) -> tuple[str, str] | None:
    if agent.cores_allocated + request.cores > agent.cores + TOLERANCE:
        return "no_capacity", (
            f"{agent.hostname} has {shown_cores(agent.free_cores)} of {shown_cores(agent.cores)} cores free,"
            f" {shown_cores(request.cores)} are needed"
        )
    if agent.memory_allocated + request.memory > agent.memory:
        return "no_capacity", (
            f"{agent.hostname} has {megabytes(agent.free_memory)} of {megabytes(agent.memory)} memory free,"
            f" {megabytes(request.memory)} are needed"
        )
    return None


_CHECKS: Final = (_wrong_agent, _not_running, _disabled, _no_image, _no_capacity)


def megabytes(memory: int) -> str:
    """Bytes as text for people, in MB of 10⁶ bytes as the workspace form shows them."""
    return f"{memory / 1_000_000:.0f} MB"


def shown_cores(cores: float) -> str:
    """Cores as text for people, with two decimals at most."""
    return f"{round(cores, 2):g}"
