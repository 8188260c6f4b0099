"""What is asked of the inside of a leased session, and what the answers say: for both clients."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from greenroom.client import scripts
from greenroom.client.models import Change, Command, Element, Listing, Output
from greenroom.client.retries import Retries
from greenroom.client.scripts import Script, Send
from greenroom.shared.errors import Interrupted, NotFound

SLACK_S: Final = 30.0
"""A command that ends at its time limit is answered within this."""


DEFAULT_WAIT_S: Final = 10.0
"""How long a command without `wait_s` waits (`api.desk.schemas`)."""


class _Line(msgspec.Struct):
    stdout: str = ""
    stderr: str = ""
    stdout_base64: str = ""
    stderr_base64: str = ""
    exit_code: int | msgspec.UnsetType | None = msgspec.UNSET
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLimits:
    """How long a command runs (`timeout_s`), and waits to begin (`wait_s`; None = as long as the server does)."""

    timeout_s: float
    wait_s: float | None
    is_streamed: bool = False

    @property
    def answered_within_s(self) -> float:
        """A streamed command is answered when it begins, another one when it has ended."""
        waits_s = DEFAULT_WAIT_S if self.wait_s is None else self.wait_s
        return SLACK_S + waits_s + (0 if self.is_streamed else self.timeout_s)


def command(
    lease_id: str,
    argv: Sequence[str],
    limits: CommandLimits,
    *,
    env: Mapping[str, str] | None,
    workdir: str | None,
    input: str | None,  # noqa: A002 -- as subprocess.run has it
) -> Send:
    """The request that runs a command. Raises TypeError: it is one text."""
    given = {"env": env, "workdir": workdir, "input": input, "wait_s": limits.wait_s}
    return Send(
        method="POST",
        path=f"{scripts.PREFIX}/leases/{lease_id}/exec",
        body={
            "command": scripts.words(argv, "A command", '["ls", "-l"], or ["sh", "-c", "ls -l"] with a shell'),
            "timeout_s": limits.timeout_s,
            "stream": limits.is_streamed,
            **{name: value for name, value in given.items() if value is not None},
        },
        timeout_s=limits.answered_within_s,
        is_streamed=limits.is_streamed,
    )


def ended(send: Send, retries: Retries) -> Script[Command]:
    """How a command ended. Raises GreenroomError: it was not begun, or it is not known how it ended."""
    answer = yield from scripts.answered(send, retries)
    return msgspec.json.decode(answer.content, type=Command)


def output_of(line: str) -> Output | None:
    """What a line of a command's output says; None where that is only that the command runs."""
    said = msgspec.json.decode(line or "{}", type=_Line)
    if said == _Line():
        return None
    return Output(
        stdout=said.stdout.encode() + base64.b64decode(said.stdout_base64),
        stderr=said.stderr.encode() + base64.b64decode(said.stderr_base64),
        has_ended=said.exit_code is not msgspec.UNSET,
        exit_code=None if said.exit_code is msgspec.UNSET else said.exit_code,
        error=said.error_message,
    )


def cut_short() -> Interrupted:
    """The connection ended before the command did."""
    return Interrupted("The connection was broken off; the command was ended.")


def file(lease_id: str, method: str, path: str, *flags: str, **options: Any) -> Send:
    """A request for a path, with these names in its query."""
    quoted = path.replace(".", "%2E") if path in {".", ".."} else quote(path, safe="")
    address = f"{scripts.PREFIX}/leases/{lease_id}/files/{quoted}"
    return Send(method=method, path=address, query=dict.fromkeys(flags, "true"), **options)


def content(lease_id: str, path: str, retries: Retries, *flags: str, timeout_s: float) -> Script[bytes]:
    """A file, or with a flag what that asks for. Raises NotFound, Forbidden, …"""
    answer = yield from scripts.answered(file(lease_id, "GET", path, *flags, timeout_s=timeout_s), retries)
    return answer.content


def written(send: Send, retries: Retries) -> Script[str]:
    """The path of what was written."""
    answer = yield from scripts.answered(send, retries)
    return answer.json()["path"]


def listing(lease_id: str, path: str, retries: Retries) -> Script[Listing]:
    """What lies in a folder."""
    data = yield from content(lease_id, path, retries, "list", timeout_s=scripts.TIMEOUT_S)
    return msgspec.json.decode(data, type=Listing)


class ChangeReader:
    """Reads server-sent events of changes line by line."""

    def __init__(self) -> None:
        self._kind = ""

    def take(self, line: str) -> Change | None:
        """The event that this line completes."""
        name, _, text = line.partition(": ")
        if name == "event":
            self._kind = text
        if name != "data":
            return None
        said = msgspec.json.decode(text, type=dict[str, Any])
        path, is_folder = said.get("path", ""), said.get("is_folder", False)
        return Change(kind=self._kind, path=path, is_folder=is_folder, error=said.get("error_message"))


def elements(
    lease_id: str, ref: str | None, depth: int | None, everything: bool, retries: Retries
) -> Script[list[dict[str, Any]]]:
    """The accessibility tree of the programs on the screen."""
    query = {"ref": ref, "depth": depth, "all": "true" if everything else None}
    send = Send(method="GET", path=f"{scripts.PREFIX}/leases/{lease_id}/tree", query=query)
    found = yield from scripts.json_of(send, retries)
    return found["elements"]


def found(
    lease_id: str, role: str | None, name: str | None, below: str | None, retries: Retries
) -> Script[list[Element]]:
    """The elements with this role and name, in the order of the tree."""
    tree = msgspec.convert((yield from elements(lease_id, below, None, False, retries)), list[Element])
    return [one for one in _all(tree) if role in (None, one.role) and name in (None, one.name)]


def first(lease_id: str, role: str | None, name: str | None, below: str | None, retries: Retries) -> Script[Element]:
    """The first of them.

    Raises:
        NotFound: there is none.
    """
    every = yield from found(lease_id, role, name, below, retries)
    if not every:
        wanted = " ".join(part for part in (role or "element", name and f"named {name}") if part)
        raise NotFound(f"No {wanted} is on the screen; desk.tree() has what there is.")
    return every[0]


def _all(elements: list[Element]) -> Iterator[Element]:
    for element in elements:
        yield element
        yield from _all(element.children)
