"""Times in messages."""

from __future__ import annotations

from typing import Annotated

import msgspec

Moment = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Seconds since the epoch, before the year 10000: a message with another time is refused, no calendar has it."""
