"""Wanted sessions and containers, for tests of an Agent's plan."""

from __future__ import annotations

from dataclasses import replace

from greenroom.core.session.reconcile import ContainerState, DesiredContainer, ObservedContainer
from greenroom.core.session.states import Want

RUNNING, EXITED, CREATED, PAUSED = (
    ContainerState.RUNNING,
    ContainerState.EXITED,
    ContainerState.CREATED,
    ContainerState.PAUSED,
)


def wanted(want: Want = Want.RUNNING, session_id: str = "s1", **changes: object) -> DesiredContainer:
    spec_hash = None if want is Want.ABSENT else "h"
    return replace(DesiredContainer(session_id=session_id, generation=1, want=want, spec_hash=spec_hash), **changes)


def seen(state: ContainerState, session_id: str = "s1", **changes: object) -> ObservedContainer:
    exit_code = 3 if state is EXITED else None
    value = ObservedContainer(session_id=session_id, container_id="c", state=state, spec_hash="h", exit_code=exit_code)
    return replace(value, **changes)
