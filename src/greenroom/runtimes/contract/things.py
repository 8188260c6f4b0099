"""Everything of an installation in one place, whichever Agent made it: for `greenroom doctor --repair`."""

from __future__ import annotations

from typing import Protocol

from greenroom.core.session.leftovers import Thing


class Things(Protocol):
    """The objects with the labels of one installation; nothing else is listed or removed. Listing them changes
    nothing."""

    async def list(self) -> list[Thing]:
        """All that one session, Agent or user owns; not what the whole installation has in common.

        Raises:
            RuntimeUnavailable: the runtime does not answer.
        """
        ...

    async def remove(self, thing: Thing) -> None:
        """Remove that very thing; a missing one is success.

        Raises:
            StartError: something else has it.
            RuntimeUnavailable: the runtime does not answer.
        """
        ...
