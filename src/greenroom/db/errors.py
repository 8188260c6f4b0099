"""From the database's errors to the tree in `greenroom.core.errors`: constraint name → error a person can act on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors as pg

from greenroom.core.errors import Duplicate, GreenroomError, Invalid, LastEnabledManager, ProfileInUse

CONSTRAINTS: Final[dict[str, tuple[type[GreenroomError], str | None]]] = {
    "last-enabled-manager": (LastEnabledManager, None),
    "zones_name_unique": (Duplicate, "A zone with this name exists already."),
    "groups_name_unique": (Duplicate, "A group with this name exists already."),
    "users_username_unique": (Duplicate, "A user with this name exists already."),
    "sessions_one_profile": (
        ProfileInUse,
        "The profile is in use by another session; open that one, end it, or launch with the profile Disabled.",
    ),
    "images_friendly_name_unique": (Duplicate, "A workspace with this friendly name exists already."),
    "filter_policies_name_unique": (Duplicate, "A web filter policy with this name exists already."),
    "images_filter_policy": (Invalid, "There is no such web filter policy."),
    "staging_configs_unique": (
        Duplicate,
        "A staging config for this zone, image and set of permissions exists already; change its number of sessions.",
    ),
}
"""Constraint → (error, message; None = the database's own sentence)."""


def translate(error: psycopg.Error) -> GreenroomError | None:
    """The domain error that a violated constraint stands for, or None if it stands for none."""
    name = error.diag.constraint_name
    if name in CONSTRAINTS:
        kind, message = CONSTRAINTS[name]
        sentence = message or error.diag.message_primary or ""
        return kind(sentence[:1].upper() + sentence[1:])
    if isinstance(error, pg.ForeignKeyViolation):
        return Invalid(f"Something this refers to does not exist, or is still in use: {error.diag.message_detail}")
    if isinstance(error, (pg.CheckViolation, pg.NotNullViolation)):
        return Invalid(f"A value is not allowed here: {error.diag.message_primary}")
    if isinstance(error, psycopg.DataError):
        return Invalid(f"A value cannot be stored: {error.diag.message_primary or error}")
    return None


@contextmanager
def translated() -> Generator[None]:
    """Raise the domain error in place of a violated constraint or an impossible value, chained to it."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise Invalid("A text has a character that cannot be stored.") from error
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        domain = translate(error)
        if domain is None:
            raise
        raise domain from error
