"""Why an Agent is or is not used for sessions of a workspace, and the setting with which a zone would have room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.diagnostics.sentences import Help, ObjectRef, SentencePart
from greenroom.core.diagnostics.why.model import (
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    ordered_steps,
    parts_of,
    text_of,
)
from greenroom.core.launch.placement import (
    RULES,
    AgentRule,
    PlacementAgent,
    PlacementRequest,
    Strategy,
    cores_text,
    obstacle_of,
    place,
    placement_request_of,
)
from greenroom.core.text import compared_sizes, counted
from greenroom.core.workspace.spec_builder import ImageFacts

_TITLES: Final[dict[AgentRule, str]] = {
    "restriction": "The workspace may run on it",
    "status": "It checks in",
    "acceptance": "It accepts new sessions",
    "image": "It has the image",
    "disk": "Its disk has room",
    "capacity": "It has free cores and memory",
}
MIN_CORES: Final = 0.1
MIN_MEMORY: Final = 64_000_000
"""The smallest size of a workspace that is suggested, and for which an Agent must have room to count as usable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementFacts:
    """The input of a placement in one zone. `image` is None if the question is about no workspace."""

    zone_name: str
    agents: tuple[PlacementAgent, ...]
    strategy: Strategy
    image: ImageFacts | None = None

    @property
    def request(self) -> PlacementRequest:
        """The requirements of a session; without a workspace, those of the smallest one."""
        if self.image:
            return placement_request_of(self.image)
        return PlacementRequest(image="", cores=MIN_CORES, memory=MIN_MEMORY)


def agent_decision(agent: PlacementAgent, facts: PlacementFacts) -> ExplainedDecision:
    """Return why the Agent is or is not chosen for a session of the workspace."""
    request = facts.request
    permitted = next((each.hostname for each in facts.agents if each.agent_id == request.only_agent_id), None)
    obstacle = obstacle_of(agent, request, permitted)
    subject = SentencePart(agent.hostname, ObjectRef("agent", agent.agent_id))
    question = f"Can {agent.hostname} run a session?"
    if facts.image:
        question = f"Why is {agent.hostname} chosen or not chosen for {facts.image.friendly_name}?"
    steps = [
        DecisionStep(rule=_TITLES[rule], result="passed", facts=_facts(rule, agent, request, permitted))
        for rule in RULES
        if facts.image or rule not in ("restriction", "image")
    ]
    if obstacle is None:
        chosen = place(facts.agents, request, facts.strategy).candidates[0]
        return _usable(question, agent, chosen, steps, facts)
    index = next(number for number, step in enumerate(steps) if step.rule == _TITLES[obstacle.rule])
    steps[index] = replace(steps[index], result="stopped", reason=parts_of(text_of(obstacle.reason)))
    order = DecisionStep(rule=f"It comes first by {facts.strategy}", result="unreached")
    return ExplainedDecision(
        question=question,
        answer=parts_of(subject, text_of(obstacle.reason.removeprefix(agent.hostname))),
        tone="failure",
        steps=ordered_steps([*steps, order], index),
        setting=setting_for_room(facts, only=agent),
        help=Help("Show the Agent", ObjectRef("agent", agent.agent_id)),
    )


def _usable(
    question: str, agent: PlacementAgent, chosen: PlacementAgent, steps: list[DecisionStep], facts: PlacementFacts
) -> ExplainedDecision:
    """Return the decision about an Agent without an obstacle: the order decides."""
    subject, first = (SentencePart(each.hostname, ObjectRef("agent", each.agent_id)) for each in (agent, chosen))
    loads = tuple(
        Fact(f"Load of {each.hostname}", f"{each.load:.0%} load, {counted(each.sessions, 'session')}")
        for each in (chosen, agent)
    )
    is_first = chosen.agent_id == agent.agent_id
    reason = parts_of(first, f" comes first by {facts.strategy}.")
    order = DecisionStep(
        rule=f"It comes first by {facts.strategy}",
        result="passed" if is_first else "stopped",
        reason=reason,
        facts=loads[: 1 if is_first else 2],
        decides=True,
    )
    answer = parts_of(subject, " gets the next session of zone ", facts.zone_name, ".")
    if not is_first:
        answer = parts_of(subject, " can run it, but ", first, f" comes first by {facts.strategy}.")
    return ExplainedDecision(
        question=question, answer=answer, tone="ready" if is_first else "neutral", steps=(*steps, order), setting=None
    )


def _facts(
    rule: AgentRule, agent: PlacementAgent, request: PlacementRequest, permitted_hostname: str | None
) -> tuple[Fact, ...]:
    """Return the inputs of a rule."""
    match rule:
        case "restriction":
            return (
                Fact("Restriction", permitted_hostname or ("none" if request.only_agent_id is None else "elsewhere")),
            )
        case "status":
            return (Fact("Status", agent.status),)
        case "acceptance":
            return Fact("Enabled", _yes(agent.enabled)), Fact("Draining", _yes(agent.draining))
        case "image":
            return (Fact("Image", agent.image_state),)
        case "disk":
            known = [] if agent.disk.free_bytes is None else [agent.disk.free_bytes]
            kept, *free = compared_sizes(agent.disk.kept_bytes, *known)
            return Fact("Free", free[0] if free else "not reported"), Fact("Kept free", kept)
        case _:
            cores = f"{cores_text(agent.free_cores)} of {cores_text(agent.cores)}"
            free_memory, memory, needed = compared_sizes(agent.free_memory, agent.memory, request.memory)
            return (
                Fact("Free cores", cores),
                Fact("Needed cores", cores_text(request.reserved_cores(agent))),
                Fact("Free memory", f"{free_memory} of {memory}"),
                Fact("Needed memory", needed),
            )


def _yes(value: object) -> str:
    return "yes" if value else "no"


def setting_for_room(facts: PlacementFacts, only: PlacementAgent | None = None) -> DecisiveSetting | None:
    """Return the first setting with which the zone could place a session; None if no single setting is sufficient.
    `only`: the session must be placed on this Agent.
    """
    agents = facts.agents if only is None else (only,)
    for changed, setting in (*_switched(agents), *_resized(agents, facts)):
        others = {agent.agent_id: agent for agent in changed.agents}
        tried = replace(facts, agents=tuple(others.get(each.agent_id, each) for each in facts.agents))
        placement = place(tried.agents, changed.request or tried.request, facts.strategy)
        chosen = next((each for each in placement.candidates if only is None or each.agent_id == only.agent_id), None)
        if chosen is not None:
            return replace(setting, after=f"A session can be placed on {chosen.hostname}.")
    return None


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of one setting: the changed Agents, or the changed requirements of the session."""

    agents: tuple[PlacementAgent, ...] = ()
    request: PlacementRequest | None = None


def _switched(agents: Sequence[PlacementAgent]) -> Iterator[tuple[_Change, DecisiveSetting]]:
    """Yield the changes that let an Agent accept sessions."""
    for agent in sorted(agents, key=lambda each: each.hostname):
        ref = ObjectRef("agent", agent.agent_id)
        for name, title, value in (("enabled", "Enabled", agent.enabled), ("draining", "Draining", agent.draining)):
            if value is (name == "enabled"):
                continue
            setting = DecisiveSetting(
                object=ref,
                owner=f"Agent {agent.hostname}",
                name=name,
                title=title,
                value=value,
                source="own",
                needs="agents_modify",
                suggested=not value,
            )
            changed = replace(agent, enabled=True) if name == "enabled" else replace(agent, draining=False)
            yield _Change(agents=(changed,)), setting


def _resized(agents: Sequence[PlacementAgent], facts: PlacementFacts) -> Iterator[tuple[_Change, DecisiveSetting]]:
    """Yield the changes of the size of the workspace to the free capacity of the Agent that is most suitable."""
    image = facts.image
    if image is None:
        return
    request = facts.request
    full = [agent for agent in agents if (found := obstacle_of(agent, request, None)) and found.rule == "capacity"]
    cores = max((_free_cores(agent, request) for agent in full), default=0.0)
    if cores >= MIN_CORES:
        yield (
            _Change(request=replace(request, cores=cores)),
            image_setting(image, "cores", "Cores", image.cores, cores),
        )
    memory = max((agent.free_memory // 1_000_000 * 1_000_000 for agent in full), default=0)
    if memory >= MIN_MEMORY:
        changed = replace(request, memory=memory)
        yield _Change(request=changed), image_setting(image, "memory", "Memory", image.memory, memory, unit="bytes")


def _free_cores(agent: PlacementAgent, request: PlacementRequest) -> float:
    """Return the free cores as a workspace counts them, rounded down to tenths."""
    factor = agent.overcommit if request.cpu_mode == "Quotas" else 1.0
    return math.floor(agent.free_cores / factor * 10) / 10


def image_setting(
    image: ImageFacts, name: str, title: str, value: bool | float, suggested: bool | float, *, unit: str = ""
) -> DecisiveSetting:
    """Return a field of a workspace as the decisive setting."""
    return DecisiveSetting(
        object=ObjectRef("image", image.image_id),
        owner=f"workspace {image.friendly_name}",
        name=name,
        title=title,
        value=value,
        source="own",
        needs="images_modify",
        unit=unit,
        suggested=suggested,
    )
