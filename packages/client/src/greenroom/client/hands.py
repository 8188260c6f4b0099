"""What programs do to the screen of a leased session, and what they see of it: requests and answers of both clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from greenroom.client import scripts
from greenroom.client.errors import ActionFailed
from greenroom.client.models import Acted, ActionResult
from greenroom.client.retries import Retries
from greenroom.client.scripts import Script, Send

Action = Mapping[str, Any]
"""One action, as docs/reference/actions.md has it."""
Button = Literal["left", "right", "middle"]
Direction = Literal["up", "down", "left", "right"]
ACTIONS_S: Final = 130.0
"""Longer than any list of actions takes."""
_CLICKS: Final = {("left", 1): "left_click", ("left", 2): "double_click", ("left", 3): "triple_click"}


def acted(
    lease_id: str, actions: Sequence[Action], *, screenshot: bool, display: tuple[int, int] | None, retries: Retries
) -> Script[Acted]:
    """What became of these actions."""
    body: dict[str, Any] = {"actions": list(actions), "screenshot": screenshot}
    if display is not None:
        body["display"] = {"width": display[0], "height": display[1]}
    path = f"{scripts.PREFIX}/leases/{lease_id}/actions"
    send = Send(method="POST", path=path, body=body, timeout_s=ACTIONS_S)
    return msgspec.json.decode((yield from scripts.answered(send, retries)).content, type=Acted)


def done(lease_id: str, action: Action, retries: Retries) -> Script[ActionResult]:
    """One action that was done.

    Raises:
        ActionFailed: it was not.
    """
    (result,) = (yield from acted(lease_id, [action], screenshot=False, display=None, retries=retries)).results
    if not result.done:
        raise ActionFailed(result.error)
    return result


def picture(
    lease_id: str,
    *,
    region: tuple[int, int, int, int] | None,
    width: int | None,
    height: int | None,
    cursor: bool,
    retries: Retries,
) -> Script[bytes]:
    """The screen as PNG."""
    query = {
        "region": ",".join(map(str, region)) if region else None,
        "width": width,
        "height": height,
        "cursor": None if cursor else "false",
    }
    send = Send(method="GET", path=f"{scripts.PREFIX}/leases/{lease_id}/screenshot", query=query)
    return (yield from scripts.answered(send, retries)).content


def at(x: int | None, y: int | None, ref: str | None) -> dict[str, Any]:
    """Where an action is done: at x and y, at an element, or where the pointer is.

    Raises:
        ValueError: it is more than one of these, or one of x and y alone.
    """
    if (x is None) != (y is None) or (x is not None and ref is not None):
        raise ValueError("An action is done at x and y, or at the ref of an element.")
    if ref is not None:
        return {"ref": ref}
    return {} if x is None else {"coordinate": [x, y]}


def click(where: Mapping[str, Any], button: Button, times: int, keys: str | None) -> Action:
    """Raises ValueError: no such click is known."""
    action = _CLICKS.get((button, times)) or (f"{button}_click" if times == 1 else "")
    if not action:
        raise ValueError("Clicks are single ones of any button, double or triple ones of the left one.")
    return {"action": action, **where, **({"text": keys} if keys else {})}


def drag(start: tuple[int, int], end: tuple[int, int], keys: str | None) -> Action:
    """Drag with the left button."""
    path = {"start_coordinate": list(start), "coordinate": list(end)}
    return {"action": "left_click_drag", **path, **({"text": keys} if keys else {})}


def scroll(direction: Direction, notches: int, x: int | None, y: int | None, ref: str | None = None) -> Action:
    """Turn the wheel."""
    return {"action": "scroll", "scroll_direction": direction, "scroll_amount": notches, **at(x, y, ref)}


def key(keys: str, seconds: float) -> Action:
    """Press keys, or hold them."""
    return {"action": "hold_key", "text": keys, "duration": seconds} if seconds else {"action": "key", "text": keys}
