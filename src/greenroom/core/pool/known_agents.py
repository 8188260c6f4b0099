"""The Agents of a zone as the last plans left them: a refill after each claim does not read all of them again.

What is placed on an Agent that has no room any more is not inserted, so that an old view costs a repetition at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from greenroom.core.launch.placement import AgentView, PlacementRequest, session_of
from greenroom.core.pool.model import Create
from greenroom.core.workspace.spec_builder import ImageFacts

KNOWN_S: Final = 1.0


class KnownAgents:
    """By image, since Agents differ in what they have of it; times are seconds of one clock, which the caller knows."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, tuple[AgentView, ...]]] = {}

    def of(self, image_id: str, now_s: float) -> tuple[AgentView, ...] | None:
        """None = they are to be read."""
        read_s, agents = self._of.get(image_id, (float("-inf"), ()))
        return agents if now_s < read_s + KNOWN_S else None

    def read(self, image_id: str, agents: tuple[AgentView, ...], now_s: float) -> None:
        self._of[image_id] = now_s, agents

    def created(self, image: ImageFacts, creates: Iterable[Create]) -> None:
        """Sessions were inserted; until the Agents are read again they have that much less room."""
        if (known := self._of.get(image.image_id)) is None:
            return
        request, number = session_of(image), Counter(create.agent_id for create in creates)
        read_s, agents = known
        self._of[image.image_id] = read_s, tuple(_with(agent, number[agent.agent_id], request) for agent in agents)

    def forget(self) -> None:
        """Something was said of Agents, or one had no room."""
        self._of.clear()


def _with(agent: AgentView, number: int, request: PlacementRequest) -> AgentView:
    for _ in range(number):
        agent = agent.with_one_more(request)
    return agent
