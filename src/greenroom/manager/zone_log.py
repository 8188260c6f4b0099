"""Log rows of a Manager, with the present name of its zone."""

from __future__ import annotations

from typing import Any

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter


class ZoneLog(LogWriter):
    """Rows that name no zone are about `zone_name`, which the guardian reads each round."""

    def __init__(self, db: Database, zone_name: str) -> None:
        super().__init__(db, "manager")
        self._zone_name = zone_name

    @property
    def zone_name(self) -> str:
        return self._zone_name

    def renamed(self, zone_name: str) -> None:
        self._zone_name = zone_name

    def write(self, code: LogCode, message: str, **fields: Any) -> None:
        fields.setdefault("zone_name", self._zone_name)
        super().write(code, message, **fields)
