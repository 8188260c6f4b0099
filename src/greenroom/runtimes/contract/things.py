"""All objects of an installation, of every Agent: for `greenroom doctor --repair`."""

from __future__ import annotations

from typing import Protocol

from greenroom.core.session.leftovers import Thing


class Things(Protocol):
    """The objects with the labels of one installation; nothing else is listed or removed. Listing them changes
    nothing."""

    async def list(self) -> list[Thing]:
        """List the objects that one session, Agent or user owns, not those that the whole installation shares.

        Raises:
            RuntimeUnavailable: the runtime does not answer.
        """
        ...

    async def remove(self, thing: Thing) -> None:
        """Remove that very object; a missing one is success.

        Raises:
            StartError: another object uses it.
            RuntimeUnavailable: the runtime does not answer.
        """
        ...
