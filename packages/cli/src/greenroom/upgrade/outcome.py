"""The errors of a failed upgrade, which state what runs and what to do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from greenroom.core.errors import GreenroomError, SetupError
from greenroom.kit.program import version


def returned(cause: str, running: str) -> SetupError:
    """Return the error after a return: `running`, the previous version or program, runs again."""
    return SetupError(f"The upgrade failed: {cause} {running} runs again.")


def not_returned(cause: str, target: str, error: str, remedy: str) -> SetupError:
    """Return the error after a return to `target` that failed with `error`. All but `target` are sentences."""
    return SetupError(f"The upgrade failed: {cause} The return to {target} failed, too: {error} {remedy}")


@contextmanager
def last_step() -> Generator[None]:
    """Add to an error of the block that the version of this program runs. The block applies the *post* migrations, and
    no role can return after them.

    Raises:
        SetupError: the block failed.
    """
    try:
        yield
    except GreenroomError as error:
        raise SetupError(
            f"{error.message} Greenroom {version()} runs; remove the cause, and run the upgrade again."
        ) from error
