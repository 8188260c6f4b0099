"""Why this much capacity is free: which Agents count, and how much of them sessions have reserved."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.core.diagnostics.sentences import Help, ObjectRef
from greenroom.core.diagnostics.watched import WatchedAgent, capacity_of
from greenroom.core.diagnostics.why.agents import MIN_CORES, MIN_MEMORY
from greenroom.core.diagnostics.why.model import DecisionStep, ExplainedDecision, Fact, first_facts, parts_of, text_of
from greenroom.core.launch.placement import cores_text
from greenroom.core.text import counted, size


def capacity_decision(agents: Sequence[WatchedAgent]) -> ExplainedDecision:
    """Return why this much capacity is free on these Agents."""
    found = capacity_of(agents)
    stopped = [agent for agent in agents if agent.effective.status != "running"]
    closed = [(agent, agent.closed) for agent in agents if agent not in stopped]
    usable = sorted((agent for agent, reason in closed if reason is None), key=_free_cores)
    is_full = not any(_has_room(agent) for agent in usable)
    steps = (
        _condition("The Agents run", [_fact(agent, agent.effective.status) for agent in stopped]),
        _condition(
            "They accept new sessions",
            [
                _fact(agent, reason.code if reason.code in ("disabled", "draining") else text_of(reason.reason))
                for agent, reason in closed
                if reason is not None
            ],
        ),
        DecisionStep(
            rule="Sessions have not reserved all cores and memory",
            result="stopped" if is_full else "passed",
            reason=() if usable else parts_of("No Agent accepts new sessions."),
            facts=first_facts([_fact(agent, _free_text(agent)) for agent in usable], "Agents"),
            decides=True,
        ),
    )
    free = f"{cores_text(found.cores_free)} of {cores_text(found.cores)} cores"
    memory = f"{size(found.memory_free)} of {size(found.memory)} memory"
    return ExplainedDecision(
        question="Why is this much capacity free?",
        answer=parts_of(f"{free} and {memory} are free on {counted(len(usable), 'Agent')}."),
        tone="failure" if is_full else "neutral",
        steps=steps,
        help=Help("Show the Agents", ObjectRef("agents")),
    )


def _condition(rule: str, facts: Sequence[Fact]) -> DecisionStep:
    """Return a condition of the Agents that count. The Agents that do not meet it are its facts."""
    return DecisionStep(
        rule=rule,
        result="stopped" if facts else "passed",
        reason=parts_of("The capacity of these Agents does not count:") if facts else (),
        facts=first_facts(facts, "Agents"),
    )


def _free_cores(agent: WatchedAgent) -> float:
    return agent.cores - agent.cores_allocated


def _has_room(agent: WatchedAgent) -> bool:
    """True if a session fits on the Agent."""
    return _free_cores(agent) >= MIN_CORES and agent.memory - agent.memory_allocated >= MIN_MEMORY


def _free_text(agent: WatchedAgent) -> str:
    memory = max(0, agent.memory - agent.memory_allocated)
    cores = f"{cores_text(max(0.0, _free_cores(agent)))} of {cores_text(agent.cores)} cores"
    return f"{cores}, {size(memory)} of {size(agent.memory)} memory"


def _fact(agent: WatchedAgent, value: str) -> Fact:
    return Fact(agent.hostname, value, ObjectRef("agent", agent.agent_id))
