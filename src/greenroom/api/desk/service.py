"""Actions and screenshots of programs on the desk of a lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import msgspec

from greenroom.api.desk.answers import (
    ScreenState,
    decode_answer,
    decode_answer_to_change,
    require_png,
    unreadable_change,
)
from greenroom.api.desk.schemas import ActionResultView, ActionsDone
from greenroom.api.desk.transport import Desks, LeaseDesk
from greenroom.core.actions import dialects
from greenroom.core.actions import plan as action_plan
from greenroom.core.actions.actions import Action, Button, OpenAddress, WaitStep
from greenroom.core.actions.plan import Size, plan, to_display_point
from greenroom.core.errors import Invalid
from greenroom.db.lease.leases import LeaseRow

EXTRA_TIMEOUT_S: Final = 20.0
"""The time that is added to the time of the steps, for other requests of the same lease and for the picture."""
ASCII_CHARACTERS_PER_S: Final = 10_000
"""The minimum speed at which the page types ASCII characters."""
OTHER_CHARACTERS_PER_S: Final = 240
"""The minimum speed for other characters, which must perhaps first be assigned to a key."""
OPEN_ADDRESS_TIMEOUT_S: Final = 10.0
"""The maximum time for which the page waits for the program that opens an address."""
MAX_STEPS_S: Final = 100.0
"""The maximum duration of all steps of a request. Gateways wait 120 s for an answer."""
MAX_ATTEMPTS: Final = 3
_SCREEN_CHANGED_STATUS: Final = 409


@dataclass(slots=True, kw_only=True)
class _PerformedActions(ActionsDone):
    """The answer of the session's page, with the state of its screen afterwards."""

    state: ScreenState


class _ElementPositions(msgspec.Struct):
    """Reference of an element → its place on the screen (x, y, width, height), or the error as a sentence."""

    places: dict[str, tuple[int, int, int, int] | str]


class _ScreenChanged(msgspec.Struct):
    """The answer if the screen differs from the state for which the steps were planned. No step was done."""

    state: ScreenState


async def act(
    desks: Desks,
    lease: LeaseRow,
    actions: Sequence[object],
    *,
    screenshot: bool = False,
    display: Size | None = None,
) -> ActionsDone:
    """Do these actions (JSON of a client) in order until one fails. `display` is the size of the screen for the
    coordinates of the client; None = the real size of the screen.

    If the call is cancelled, all pressed keys and buttons are released.

    Raises:
        Invalid: an action cannot be done; none was done.
        WrongState, Unavailable, Interrupted: as for `Desks.of` and `LeaseDesk.request`.
    """
    refs = dialects.refs_of(actions)
    parsed = [] if refs else dialects.parse(actions)
    desk = await desks.of(lease)
    if refs:
        parsed = dialects.parse(await _with_element_positions(desks, desk, actions, refs, display))
    page_answer = await _perform_actions(desks, desk, parsed, screenshot=screenshot, display=display)
    error = f"not done, because actions[{len(page_answer.results) - 1}] failed."
    not_done = [ActionResultView(done=False, error=error) for _ in actions[len(page_answer.results) :]]
    done = ActionsDone(results=[*page_answer.results, *not_done], screenshot=page_answer.screenshot)
    for action, result in zip(actions, done.results, strict=True):
        fields = cast("dict[str, Any]", action)
        result.action = str(fields.get("action") or fields.get("type"))
        if result.coordinate and display:
            result.coordinate = to_display_point(*result.coordinate, page_answer.state.size, display)
    return done


async def _with_element_positions(
    desks: Desks, desk: LeaseDesk, actions: Sequence[object], refs: list[str], display: Size | None
) -> list[object]:
    """Return the actions with the positions of elements in place of references, in the coordinates of the client."""
    answer = await desk.request("POST", "tree", json={"refs": refs})
    places = decode_answer(answer.content, _ElementPositions).places
    state = desks.screen_states.get(desk.session_id) or await _read_screen_state(desk)
    display_size = display or state.size
    centers = {
        ref: position if isinstance(position, str) else to_display_point(*_center(position), state.size, display_size)
        for ref, position in places.items()
    }
    return dialects.replace_references(actions, centers)


def _center(rectangle: tuple[int, int, int, int]) -> tuple[int, int]:
    x, y, width, height = rectangle
    return x + width // 2, y + height // 2


async def _perform_actions(
    desks: Desks, desk: LeaseDesk, actions: list[Action], *, screenshot: bool, display: Size | None
) -> _PerformedActions:
    """Plan the actions for the last known state of the screen, and perform them; if it has changed, try again."""
    state = desks.screen_states.get(desk.session_id)
    for attempt in range(MAX_ATTEMPTS):
        is_fresh = state is None or attempt > 0
        state = state or await _read_screen_state(desk)
        try:
            planned = plan(actions, state.size, state.pointer, display, Button(state.held & Button.LEFT))
        except Invalid:
            if is_fresh:
                raise
            state = None  # the screen may have become larger
            continue
        body = {
            "actions": planned,
            # The last attempt ignores the state, because a user may move the pointer all the time.
            "expected": state if attempt < MAX_ATTEMPTS - 1 else None,
            "screenshot": ({} if display is None else asdict(display)) if screenshot else None,
        }
        timeout_s = EXTRA_TIMEOUT_S + _max_duration_s(planned)
        accepted = frozenset[int]() if body["expected"] is None else frozenset({_SCREEN_CHANGED_STATUS})
        answer = await desk.request("POST", "steps", json=body, timeout_s=timeout_s, accepted=accepted)
        if answer.status_code != _SCREEN_CHANGED_STATUS:
            page_answer = _decode_performed_actions(answer.content, len(planned))
            desks.screen_states.put(desk.session_id, page_answer.state)
            return page_answer
        state = decode_answer(answer.content, _ScreenChanged).state
    raise AssertionError("the last attempt always returns an answer")


def _decode_performed_actions(content: bytes, actions: int) -> _PerformedActions:
    """Return the decoded answer. Raises Interrupted: its number of results cannot belong to this number of actions."""
    page_answer = decode_answer_to_change(content, _PerformedActions)
    if not min(actions, 1) <= len(page_answer.results) <= actions:
        raise unreadable_change()
    return page_answer


async def _read_screen_state(desk: LeaseDesk) -> ScreenState:
    return decode_answer((await desk.request("GET", "state")).content, ScreenState)


def _max_duration_s(planned: list[list[action_plan.Step]]) -> float:
    """Return the longest time that all steps may take. Raises Invalid: it is longer than `MAX_STEPS_S`."""
    seconds = sum(_max_step_duration_s(step) for steps in planned for step in steps)
    if seconds > MAX_STEPS_S:
        raise Invalid(
            f"actions: they may take {seconds:.0f} s; the maximum is {MAX_STEPS_S:.0f} s. Send a long text in "
            "parts, or use set_clipboard and a key."
        )
    return seconds


def _max_step_duration_s(step: action_plan.Step) -> float:
    match step:
        case WaitStep(seconds):
            return seconds
        case action_plan.Type(text):
            non_ascii = sum(not character.isascii() for character in text)
            return len(text) / ASCII_CHARACTERS_PER_S + non_ascii / OTHER_CHARACTERS_PER_S
        case OpenAddress():
            return OPEN_ADDRESS_TIMEOUT_S
        case _:
            return 0


async def screenshot(
    desks: Desks,
    lease: LeaseRow,
    *,
    region: tuple[int, int, int, int] | None = None,
    width: int | None = None,
    height: int | None = None,
    cursor: bool = True,
) -> bytes:
    """Return the screen, or the part between two corners, as PNG. With only one of width and height, the aspect
    ratio is kept.

    Raises:
        Invalid: the region is not on the screen.
        WrongState, Unavailable: as for `Desks.of` and `LeaseDesk.request`.
    """
    desk = await desks.of(lease)
    options = {
        "region": ",".join(map(str, region)) if region else None,
        "width": width,
        "height": height,
        "cursor": None if cursor else "0",
    }
    params = {name: value for name, value in options.items() if value is not None}
    return require_png((await desk.request("GET", "screenshot", params=params)).content)
