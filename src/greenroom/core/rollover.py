"""What a change of a workspace means for the sessions that are staged of it, as a table of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final


class Rollover(IntEnum):
    """Of two changes the greater one counts.

    KEEP: nothing of it is in a container. REPLACE: what is staged is a desktop of before, and can be handed out until
    its replacement is there. END: what is staged may be handed out to nobody any more.
    """

    KEEP = 0
    REPLACE = 1
    END = 2


FIELDS: Final[Mapping[str, Rollover]] = {
    "name": Rollover.REPLACE,
    "cores": Rollover.REPLACE,
    "memory": Rollover.REPLACE,
    "memory_limit": Rollover.REPLACE,
    "volume_mappings": Rollover.REPLACE,  # as long as all that were there stay as they were
    "disk_limit_bytes": Rollover.END,
    "cpu_allocation_method": Rollover.END,
    "port": Rollover.END,
    "protocol": Rollover.END,
    "auth_user": Rollover.END,
    "run_config": Rollover.END,
    "exec_config": Rollover.END,  # its `assign` is run in what is staged
    "restrict_to_zone": Rollover.END,
    "zone_id": Rollover.END,
    "restrict_to_server": Rollover.END,
    "server_id": Rollover.END,
    "filter_policy_id": Rollover.END,
    "filter_policy_force_disabled": Rollover.END,
}
"""A field that is not named is in no container. What takes something away from users, or decides how a container is
confined or reached, ends; what only makes the next ones better, larger or newer replaces."""


def rollover(before: Mapping[str, Any], after: Mapping[str, Any]) -> Rollover:
    """What becomes of staged sessions when the fields of their workspace change like this."""
    changed = [effect for name, effect in FIELDS.items() if before[name] != after[name]]
    if any(after["volume_mappings"].get(path) != how for path, how in before["volume_mappings"].items()):
        changed.append(Rollover.END)
    return max(changed, default=Rollover.KEEP)
