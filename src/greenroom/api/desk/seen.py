"""What this process last saw of the screens of leased sessions, so that steps can be planned without asking first. The
session's page does nothing where it has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Final

import msgspec

from greenroom.core.actions.plan import Size

MOST: Final = 10_000


_Pixels = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_Place = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class State(msgspec.Struct, frozen=True):
    """The screen of a session when steps are planned; `held` are the buttons, as RFB has them."""

    width: _Pixels
    height: _Pixels
    pointer: tuple[_Place, _Place]
    held: _Place

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)


class Seen:
    """The last state of each session, of those that were used last."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, State] = OrderedDict()

    def get(self, session_id: str) -> State | None:
        return self._states.get(session_id)

    def put(self, session_id: str, state: State) -> None:
        self._states[session_id] = state
        self._states.move_to_end(session_id)
        if len(self._states) > MOST:
            self._states.popitem(last=False)
