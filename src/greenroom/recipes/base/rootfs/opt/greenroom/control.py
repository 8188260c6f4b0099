"""Who controls the session: the program that leased it, or one person at a time; input of no one else passes.

    PUT desk/control     the api's order: {"term", "viewer", "name", "lasts_s"}, signed with the session's password
    GET desk/control     for programs: {"term", "holder", "name"}

X-Greenroom-Viewer of a request (the gateway sets it, no client can) says whose it is in a leased session: `program`, or one
of the people. Terms only grow, and an order of an earlier one is refused. A person's term ends by itself after `lasts_s`
without another order. A session that no program has leased is everyone's who may type there.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable

import events
from answers import BadRequestError, Request, body, reply
from client_half import HANDSHAKE, KEY, POINTER, SCAN_CODE, UNKNOWN, Piece
from watching import PASSED

PROGRAM = "program"
HELD_STATUS = "423 Locked"
MAX_ORDER_BYTES = 4096
HELD = "{} has control of this desktop: wait until they hand it back, and look at the screen again then."
NOT_YOURS = "A program is using this desktop; take over first."
SIZE = 251


class Control:
    """The control of one session; `password` signs orders."""

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password = password.encode()
        self._clock = clock
        self._leased = False
        self._ordered = (0, "")
        self._ends_s = float("inf")
        self._ending: asyncio.TimerHandle | None = None
        self._changed: set[Callable[[], None]] = set()
        self.name = ""

    @property
    def term(self) -> int:
        """The last one that was ordered."""
        return self._ordered[0]

    @property
    def leased(self) -> bool:
        """Whether a program has this session."""
        return self._leased

    @property
    def viewer(self) -> str:
        """Whose input passes: empty = the program's."""
        return self._ordered[1] if self._clock() < self._ends_s else ""

    def who(self, request: Request) -> str:
        """Whose request it is; empty where the session is not leased, as far as the gateway knows."""
        who = request.headers.get("x-greenroom-viewer", "")
        self._leased |= bool(who)
        return who

    def passes(self, who: str) -> bool:
        """Whether input of theirs passes now."""
        return not self._leased or who == (self.viewer or PROGRAM)

    def refusal(self) -> str:
        """What is said to those whose input does not pass."""
        return HELD.format(self.name) if self.viewer else NOT_YOURS

    def order(self, term: int, viewer: str, name: str, lasts_s: float) -> bool:
        """Obey an order; False = it is of an earlier term, or another one of this."""
        if term < self.term or (term == self.term and viewer != self._ordered[1]):
            return False
        self._leased = True
        self._ordered, self.name = (term, viewer), name
        self._ends_s = self._clock() + lasts_s if viewer else float("inf")
        if self._ending:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(lasts_s, self._look) if viewer else None
        self._notify()
        return True

    def _look(self) -> None:
        if self._ordered[1] and self.viewer:  # a timer may be early
            self._ending = asyncio.get_running_loop().call_later(max(0.0, self._ends_s - self._clock()), self._look)
        else:
            self._notify()

    def on_change(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call this when control has changed hands; returns what ends that."""
        self._changed.add(changed)
        return lambda: self._changed.discard(changed)

    def _notify(self) -> None:
        for changed in list(self._changed):
            changed()
        events.publish("control", **self.state())

    def state(self) -> dict[str, object]:
        """The state, for people."""
        return {"leased": self._leased, "term": self.term, "viewer": self.viewer, "name": self.name if self.viewer else ""}

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request for desk/control."""
        if request.method == "GET":
            shown = {"term": self.term, "holder": "person" if self.viewer else "program", "name": self.state()["name"]}
            return reply(writer, "200 OK", json.dumps(shown).encode(), "application/json", "Connection: close")
        if request.method != "PUT":
            return reply(writer, "405 Method Not Allowed", b"{}", "application/json", "Connection: close")
        order = await body(request, reader, MAX_ORDER_BYTES)
        signature = hmac.digest(self._password, order, hashlib.sha256).hex()
        if not hmac.compare_digest(signature.encode(), request.headers.get("x-greenroom-signature", "").encode()):
            said = b'{"error_message": "Control of this desktop is changed by the api alone."}'
            return reply(writer, "403 Forbidden", said, "application/json", "Connection: close")
        wanted = json.loads(order)
        if self.order(int(wanted["term"]), str(wanted["viewer"]), str(wanted["name"]), float(wanted["lasts_s"])):
            return reply(writer, "200 OK", b'{"ok": true}', "application/json", "Connection: close")
        said = b'{"error_message": "Control has changed hands since.", "code": "held"}'
        return reply(writer, HELD_STATUS, said, "application/json", "Connection: close")


class Gate:
    """What one viewer sends over RFB, while they have control and while they do not.

    When control goes, what they hold is let go: a key that stays pressed would make capitals of what the next one types.
    """

    def __init__(self, control: Control, who: str, display: asyncio.StreamWriter) -> None:
        self._control = control
        self._who = who
        self._display = display
        self._opens = True
        self._is_whole = True
        self._down: dict[bytes, bytes] = {}
        self._pointer = b""
        self.close = control.on_change(self._changed)

    @property
    def watches(self) -> bool:
        """Whether they have no control now."""
        return not self._control.passes(self._who)

    def passed(self, piece: Piece) -> bytes:
        """What of a piece goes to the X server, which understands it.

        Raises BadRequestError: it cannot be read, so it may be input.
        """
        if not self._control.leased:
            return piece.data
        if piece.kind == HANDSHAKE:
            # the desktop is shared in any case: without it the X server would disconnect the program
            return piece.data[:-1] + b"\x01" if piece.ends else piece.data
        if piece.begins:
            self._opens = piece.kind in PASSED or self._may(piece.kind)
        if piece.kind == UNKNOWN and not self._may(UNKNOWN):
            raise BadRequestError("what cannot be read is not passed on while someone else has control")
        if not self._opens:
            return b""
        self._is_whole = piece.ends
        self._note(piece)
        return piece.data + (self._let_go() if piece.ends and self.watches else b"")

    def _may(self, kind: int) -> bool:
        """The size of the screen is the program's: its coordinates are made for it."""
        return not self.watches and (kind != SIZE or self._who == PROGRAM)

    def _note(self, piece: Piece) -> None:
        data = piece.data
        if piece.kind == POINTER:
            self._pointer = data[-6:]
        elif piece.kind in {KEY, SCAN_CODE} and piece.begins:
            flag = 1 if piece.kind == KEY else 3
            if data[flag]:
                self._down[data[4:]] = data[:flag] + b"\0" + data[flag + 1 :]
            else:
                self._down.pop(data[4:], None)

    def _changed(self) -> None:
        if self._is_whole and self.watches and (released := self._let_go()):
            self._display.write(released)

    def _let_go(self) -> bytes:
        """Key and pointer events that release all that is held."""
        released = b"".join(self._down.values())
        self._down.clear()
        if self._pointer[1:2] not in (b"", b"\0"):
            released += self._pointer[:1] + b"\0" + self._pointer[2:]
        self._pointer = b""
        return released
