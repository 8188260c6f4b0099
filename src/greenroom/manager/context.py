"""What the Primary's tasks are given each round."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.core.lateness import ON_TIME, Lateness
from greenroom.db.database import Database
from greenroom.db.leases import Fence
from greenroom.db.logs import LogWriter
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.tasks import Tasks


@dataclass(frozen=True, slots=True)
class PrimaryContext:
    """One round of the Primary of one zone.

    `fence` goes into every write (`db.leases.guarded`). While `quiet` is true nothing destructive may be concluded
    from silence: not missing, not lost, no deadline passed (QUIET of PROTOCOLS §1). `tasks` keeps what fails apart.
    """

    db: Database
    fence: Fence
    zone_id: str
    zone_name: str
    config: ManagerConfig
    secrets: Secrets
    logs: LogWriter
    quiet: bool
    tasks: Tasks
    lateness: Lateness = ON_TIME
    """This Manager's own."""
