"""The result of an upgrade, and the errors of a failed one, which state what runs and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.text import one_line, summary
from greenroom.kit.program import version


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeResult:
    """The result of an upgrade. `back` contains the commands that return to the previous version and its backup; empty
    if there is no record of the upgrade.
    """

    previous: str
    new: str
    backup: str
    back: list[str]

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        title = f"To return to {self.previous}, without the changes since the backup:"
        commands = [title, *(f"  {command}" for command in self.back)] if self.back else []
        return [f"Greenroom {self.new} runs.", *commands]


def restore_command(program: str, backup: str, passphrase_file: str, options: str) -> str:
    """Return the command that replaces an installation by a backup. `program` and `options` are quoted for a shell;
    `passphrase_file` is that of the backup, or empty."""
    passphrase = f" --passphrase-file {shlex.quote(passphrase_file)}" if passphrase_file else ""
    return f"{program} restore {shlex.quote(backup)}{passphrase} --replace {options}".rstrip()


def returned(cause: str, running: str) -> SetupError:
    """Return the error after a return: `running`, the previous version or program, runs again."""
    return SetupError(f"The upgrade failed: {cause} {running} runs again.")


def not_returned(cause: str, target: str, error: str, remedy: str) -> SetupError:
    """Return the error after a return to `target` that failed with `error`. All but `target` are sentences."""
    return SetupError(f"The upgrade failed: {cause} The return to {target} failed, too: {error} {remedy}")


def sentence(error: BaseException) -> str:
    """Return the message of an error as a sentence in one line."""
    return one_line(summary(error)).rstrip(".") + "."


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
