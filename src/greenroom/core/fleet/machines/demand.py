"""The demand for machines: the zone in which a waiting user counts, and the schedules of administrators.

A launch tries one zone after another. If no zone has room, its user waits in each of them. If each zone ordered a
machine for this user, only one of the machines would be used. Therefore the user counts in only one zone: the first
zone of the launch in which a machine can still be ordered with room for this user and all users who have waited longer.
Every zone computes the same result from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from greenroom.core.errors import Invalid
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, place


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingUser:
    """A user who waits for a workspace. `zone_ids` are the zones that refused the launch, in their order."""

    user_id: str
    image_id: str
    request: PlacementRequest
    since: datetime
    zone_ids: tuple[str, ...]


def take_room(hosts: list[PlacementAgent], request: PlacementRequest) -> bool:
    """Reserve a session on the fullest host that has room; return False if no host has room."""
    candidates = place(hosts, request, "Most Load").candidates
    if not candidates:
        return False
    index = next(i for i, host in enumerate(hosts) if host is candidates[0])
    hosts[index] = candidates[0].with_one_more(request)
    return True


def zones_of_users(
    people: Iterable[WaitingUser], supply: Mapping[str, Sequence[PlacementAgent]]
) -> dict[WaitingUser, str]:
    """Return the id of the zone in which each user counts.

    `supply` maps each zone with an enabled pool to the empty machines that can still be ordered there. If none of these
    zones has room for a user, the user counts in the first of them that the launch tried, and the report of that zone
    contains the shortage.
    """
    rooms = {zone_id: list(machines) for zone_id, machines in supply.items()}
    zones: dict[WaitingUser, str] = {}
    for user in sorted(people, key=lambda user: (user.since, user.user_id, user.image_id)):
        tried = [zone_id for zone_id in user.zone_ids if zone_id in rooms] or list(user.zone_ids)
        fitting = (zone_id for zone_id in tried if take_room(rooms.get(zone_id, []), user.request))
        zones[user] = next(fitting, tried[0])
    return zones


DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LINE: Final = re.compile(
    r"(?P<days>[A-Za-z,-]+) +(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d) +(?P<timezone>[A-Za-z0-9_+/-]+)"
    r"(?P<capacity>( +(machines|cores|memory)=[0-9]{1,18})+)",
    re.ASCII,
)
FORM: Final = "Mon-Fri 08:00-18:00 Europe/Berlin machines=3 cores=16 memory=32000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """An entry of a schedule: the minimum number of machines and the standby capacity for a time of the week.

    Days are 0 (Monday) to 6. `begin` and `end` are minutes of the day in `timezone`; an `end` at or before `begin` is
    on the next day.
    """

    days: tuple[int, ...]
    begin: int
    end: int
    timezone: str = "UTC"
    min_machines: int = 0
    standby_cores: float = 0.0
    standby_memory: int = 0

    def is_on(self, at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(self.timezone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


def hints_on(hints: Iterable[Hint], now: datetime, lead_s: float) -> list[Hint]:
    """Return the hints that apply now or in `lead_s` seconds, when a machine that is ordered now is ready."""
    soon = now + timedelta(seconds=lead_s)
    return [hint for hint in hints if hint.is_on(now) or hint.is_on(soon)]


def parse_hint(line: str) -> Hint:
    """Parse a line of a schedule, like `FORM`. Raises Invalid: the line is not valid."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise Invalid(f"{line!r} is not a valid line of a schedule; write one like: {FORM}.")
    capacity = dict(part.split("=") for part in match["capacity"].split())
    try:
        ZoneInfo(match["timezone"])
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(f"There is no time zone {match['timezone']!r}; write one like Europe/Berlin.") from error
    return Hint(
        days=_days(match["days"]),
        begin=_minute(match["begin"]),
        end=_minute(match["end"]),
        timezone=match["timezone"],
        min_machines=int(capacity.get("machines", 0)),
        standby_cores=float(capacity.get("cores", 0)),
        standby_memory=int(capacity.get("memory", 0)),
    )


def _days(text: str) -> tuple[int, ...]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        days |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return tuple(sorted(days))


def _day(text: str) -> int:
    name = text[:3].title()
    if name not in DAYS:
        raise Invalid(f"{text!r} is not a day; write {', '.join(DAYS)}, or Mon-Fri.")
    return DAYS.index(name)


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise Invalid(f"{text} is not a time of day; write 00:00 to 24:00.")
    return hours * 60 + minutes


def format_hint(hint: Hint) -> str:
    """Return the line that `parse_hint` parses to this hint."""
    capacity = {"machines": hint.min_machines, "cores": round(hint.standby_cores), "memory": hint.standby_memory}
    numbers = " ".join(f"{name}={number}" for name, number in capacity.items() if number) or "machines=0"
    days = ",".join(DAYS[day] for day in hint.days)
    begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (hint.begin, hint.end))
    return f"{days} {begin}-{end} {hint.timezone} {numbers}"
