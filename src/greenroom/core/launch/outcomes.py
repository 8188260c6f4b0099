"""What a launch was for each staging config it considered, from its trace.

`db.pool.history` decides the same in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from greenroom.core.launch.plan import TraceStep

Result = Literal["hit", "miss", "served_elsewhere", "other_permissions"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """For one config: `codes` say why it was passed over, each once."""

    staging_config_id: str
    zone_name: str
    result: Result
    codes: tuple[str, ...]


def outcomes(trace: Sequence[TraceStep]) -> list[Outcome]:
    """One for each config that a launch considered, in their order; `trace` is complete.

    A *hit* was served by the config, a *miss* got no staged session at all. A config with other permissions than the
    user's has no miss where a config with the user's permissions was considered.
    """
    last = trace[-1] if trace and trace[-1].used else None
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for step in trace:
        if step.candidate is None or not step.step.startswith("staged"):
            continue
        _, codes = found.get(step.candidate, ("", ()))
        if step.code is not None and step.code not in codes:
            codes = (*codes, step.code)
        found[step.candidate] = (step.zone_name, codes)
    somewhere = any("permissions" not in codes for _, codes in found.values())
    return [
        Outcome(config_id, zone, _result(config_id, last, other=somewhere and "permissions" in codes), codes)
        for config_id, (zone, codes) in found.items()
    ]


def _result(staging_config_id: str, last: TraceStep | None, *, other: bool) -> Result:
    served = last if last is not None and last.step.startswith("staged") else None
    if served and served.candidate == staging_config_id:
        return "hit"
    if other:
        return "other_permissions"
    return "served_elsewhere" if served else "miss"
