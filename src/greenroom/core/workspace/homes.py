"""Home folders that persist: one for each user and workspace on an Agent, in a folder that the installation chooses.

A workspace requests homes with `STORED_HOMES_PATH` as its persistent profile path. The specification of a session then
contains only the ids of the home (`HomeId.source`), by which the runtime finds the folder, and no input of users.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

STORED_HOMES_PATH: Final = "{homes}"
"""The persistent profile path of a workspace with homes."""
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SOURCE: Final = re.compile(rf"/\{{homes\}}/({_UUID})\.({_UUID})")
_NAME: Final = re.compile(rf"({_UUID})\.({_UUID})")
_MOVED_AWAY: Final = re.compile(rf"({_UUID})\.({_UUID})\.({_UUID})")


@dataclass(frozen=True, slots=True, order=True)
class HomeId:
    """The user and the workspace of a home. An Agent has one home for each pair."""

    user_id: str
    image_id: str

    @property
    def name(self) -> str:
        """The name of the folder or volume."""
        return f"{self.user_id}.{self.image_id}"

    @property
    def source(self) -> str:
        """The source of its mount in a specification."""
        return f"/{STORED_HOMES_PATH}/{self.name}"


def home_of(source: str) -> HomeId | None:
    """Return the home that is the source of a mount; None if the source is a folder that an administrator chose."""
    match = _SOURCE.fullmatch(source)
    return HomeId(match[1], match[2]) if match else None


def home_with_name(name: str) -> HomeId | None:
    """Return the home with this `HomeId.name`; None if it is not the name of a home."""
    match = _NAME.fullmatch(name)
    return HomeId(match[1], match[2]) if match else None


def removal_name(home: HomeId, removal_id: str) -> str:
    """Return the name to which a removal moves a home, so that no session can use the home any more."""
    return f"{home.name}.{removal_id}"


def parse_removal_name(name: str) -> tuple[HomeId, str] | None:
    """Return the home and the id of the removal from a `removal_name`; None if `name` is another kind of name."""
    match = _MOVED_AWAY.fullmatch(name)
    return (HomeId(match[1], match[2]), match[3]) if match else None


MEASURE_EVERY_S: Final = 900.0
"""The seconds between two measurements of the home of a running session."""
MEASURE_UNUSED_EVERY_S: Final = 86_400.0
"""The seconds between two measurements of an unused home, in case a program of the host writes to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeMeasurement:
    """The last measurement of a home, at `at_s` (seconds). `used_since` is True if a session used the home after it."""

    at_s: float
    used_since: bool = False


def next_to_measure(
    homes: Collection[HomeId], in_use: Collection[HomeId], measured: Mapping[HomeId, HomeMeasurement], now_s: float
) -> HomeId | None:
    """Return the home to measure now: a home that was never measured, otherwise the most overdue home; None if no
    measurement is due. A home is measured soon after its last session has ended, and rarely while it is unused.
    """
    due: list[tuple[float, HomeId]] = []
    for home in homes:
        last = measured.get(home)
        if last is None:
            due.append((float("-inf"), home))
            continue
        every_s = MEASURE_EVERY_S if home in in_use else 0.0 if last.used_since else MEASURE_UNUSED_EVERY_S
        if (due_s := last.at_s + every_s) <= now_s:
            due.append((due_s, home))
    return min(due)[1] if due else None


MAX_LISTED_SESSIONS: Final = 3


def in_use_problem(sessions: Sequence[str]) -> str | None:
    """Return the reason why a home that these sessions use cannot be deleted, as a sentence; None if it can."""
    if not sessions:
        return None
    text = ", ".join(sessions[:MAX_LISTED_SESSIONS]) + (", …" if len(sessions) > MAX_LISTED_SESSIONS else "")
    noun = "session" if len(sessions) == 1 else "sessions"
    return f"The home folder is in use by {noun} {text}. Delete the {noun} first."


HomeState = Literal["kept", "in_use", "deleting"]


def home_state(sessions: Sequence[str], removal_id: str | None) -> HomeState:
    """Return the state of a home."""
    return "deleting" if removal_id else "in_use" if sessions else "kept"


def home_remark(state: HomeState, *, is_moved_away: bool, is_reached: bool, problem: str) -> str:
    """Return the remark about a home for users, as a sentence; empty if there is none. `is_reached` is True if its
    Agent responds.
    """
    if state != "deleting":
        return problem
    if not is_reached:
        return "It is deleted when its Agent returns. If the Agent does not return, delete the Agent."
    if is_moved_away:
        return f"No session can use it any more; its files are being deleted. {problem}".strip()
    return problem or "It is being deleted."


def deletion_warning(username: str, workspace: str) -> str:
    """Return the sentence about the data that is lost when a home is deleted."""
    return f"All files that {username} has in the home folder of {workspace} are deleted permanently."
