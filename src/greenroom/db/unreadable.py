"""Rows with a value that does not fit: each is left out, logged once, and collected for who asks for them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import msgspec
import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")

_SAID: Final[dict[tuple[str, str, str], None]] = {}
"""Rows that could not be read, each logged once."""
MOST_SAID: Final = 1000
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


@contextmanager
def collected() -> Generator[list[str]]:
    """The rows that are left out inside, each as its ids and the reason."""
    found: list[str] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def readable(kind: type[T], row: Mapping[str, Any]) -> T | None:
    """The row as a dataclass of this kind; None = a value does not fit, and the row is left out.

    Raises:
        msgspec.ValidationError: the row lacks a field of the kind; a defect of the statement.
    """
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        if " - at `$" not in str(error):  # of the row itself, not of a value in it
            raise
        ids = {name: str(value) for name, value in row.items() if name.endswith("_id") and value is not None}
        if (what := (kind.__name__, str(ids), str(error))) not in _SAID:
            _SAID[what] = None
            log.error("a row cannot be read, and is left out", kind=kind.__name__, reason=str(error), **ids)
        if len(_SAID) > MOST_SAID:
            _SAID.pop(next(iter(_SAID)))
        if (found := _collected.get()) is not None:
            found.append(f"{' '.join(f'{name} {value}' for name, value in ids.items())}: {error}")
        return None
