"""The screen of a leased session, for programs with asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenroom.client import hands
from greenroom.client.hands import Action, Button, Direction
from greenroom.client.models import Acted, ActionResult

if TYPE_CHECKING:
    from greenroom.client.asynchronous import AsyncGreenroom


class AsyncHands:
    """Pointer, keys and screen of one session. Every method raises `GreenroomError` where the server refuses it
    (`Invalid`: outside the screen, …), and `ActionFailed` where it could not be done.
    """

    _greenroom: AsyncGreenroom
    _lease_id: str

    async def act(self, *actions: Action, screenshot: bool = False, display: tuple[int, int] | None = None) -> Acted:
        """Do these actions, as docs/reference/actions.md has them, until one fails; `display` is the size in which
        the program sees the screen.
        """
        retries = self._greenroom.retries
        script = hands.acted(self._lease_id, actions, screenshot=screenshot, display=display, retries=retries)
        return await self._greenroom.run(script)

    async def screenshot(
        self,
        region: tuple[int, int, int, int] | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        cursor: bool = True,
    ) -> bytes:
        """The screen, or the part between two corners, as PNG."""
        retries = self._greenroom.retries
        script = hands.picture(
            self._lease_id, region=region, width=width, height=height, cursor=cursor, retries=retries
        )
        return await self._greenroom.run(script)

    async def click(
        self,
        x: int | None = None,
        y: int | None = None,
        *,
        button: Button = "left",
        times: int = 1,
        keys: str | None = None,
        ref: str | None = None,
    ) -> None:
        """Click at x, y, at an element (`find`) or where the pointer is, with keys such as `ctrl` held."""
        await self._do(hands.click(hands.at(x, y, ref), button, times, keys))

    async def move(self, x: int | None = None, y: int | None = None, *, ref: str | None = None) -> None:
        """Bring the pointer there."""
        await self._do({"action": "mouse_move", **hands.at(x, y, ref)})

    async def drag(self, start: tuple[int, int], end: tuple[int, int], *, keys: str | None = None) -> None:
        """Drag with the left button."""
        await self._do(hands.drag(start, end, keys))

    async def scroll(
        self,
        direction: Direction,
        notches: int = 3,
        x: int | None = None,
        y: int | None = None,
        *,
        ref: str | None = None,
    ) -> None:
        """Turn the wheel, at x, y, at an element or where the pointer is."""
        await self._do(hands.scroll(direction, notches, x, y, ref))

    async def type(self, text: str, *, ref: str | None = None) -> None:
        """Type text, any of Unicode; into an element after a click at it."""
        await self._do({"action": "type", "text": text, **hands.at(None, None, ref)})

    async def focus(self, ref: str) -> None:
        """Give an element the keyboard without a click."""
        await self._do({"action": "focus", "ref": ref})

    async def key(self, keys: str, *, seconds: float = 0) -> None:
        """Press keys: `Return`, `ctrl+s`, `ctrl+a Delete`; with `seconds` hold them so long."""
        await self._do(hands.key(keys, seconds))

    async def open(self, url: str) -> None:
        """Open a web address."""
        await self._do({"action": "open_address", "url": url})

    async def copy(self, text: str) -> None:
        """Put text on the clipboard."""
        await self._do({"action": "set_clipboard", "text": text})

    async def clipboard(self) -> str:
        """The text on the clipboard."""
        result = await self._do({"action": "get_clipboard"})
        return result.text or ""

    async def _do(self, action: Action) -> ActionResult:
        return await self._greenroom.run(hands.done(self._lease_id, action, self._greenroom.retries))
