"""The requests to a leased session, and the decoding of its answers, for both clients."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import wraps
from types import TracebackType
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar
from urllib.parse import quote

import msgspec

from greenroom.client.models import Element, Lease
from greenroom.client.requests import PREFIX, ApiRequest, list_of_texts, without_none
from greenroom.shared.errors import Interrupted, NotFound, Unavailable, WrongState
from greenroom.shared.states import OVER, SessionStatus

Tags = list[str] | dict[str, str]
Mode = Literal["none", "actions", "pictures"]
"""The content of the recording of a lease."""
Egress = Sequence[str] | Literal["none"]
"""The domains that a leased session may reach, including their subdomains; `none` = no domain."""
Action = Mapping[str, Any]
"""One action, in the format of docs/reference/actions.md."""
Button = Literal["left", "right", "middle"]
Direction = Literal["up", "down", "left", "right"]
ACTIONS_S: Final = 130.0
"""The time limit of a list of actions; the server ends them earlier."""
TRANSFER_S: Final = 300.0
"""The limit of each wait during the transfer of a file."""
SLACK_S: Final = 30.0
"""The time that the server has for its answer after the time limit of a command, in seconds."""
DEFAULT_WAIT_S: Final = 10.0
"""The time for which the server lets a command without `wait_s` wait for its start (`api.desk.schemas`)."""
FIRST_POLL_S: Final = 0.02
MAX_POLL_S: Final = 1.0
P = ParamSpec("P")
E = TypeVar("E", bound=AbstractAsyncContextManager[Any])
_CLICKS: Final = {("left", 1): "left_click", ("left", 2): "double_click", ("left", 3): "triple_click"}


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a command since the previous item. The last item (`has_ended`) has the exit code or the error."""

    stdout: bytes = b""
    stderr: bytes = b""
    has_ended: bool = False
    exit_code: int | None = None
    error: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change below a folder: `kind` is `created`, `written`, `deleted`, `overflow` or `error`."""

    kind: str
    path: str
    is_folder: bool
    error: str | None = None


def lease_options(
    options: Mapping[str, Any] | None, egress: Egress | None, secrets: Sequence[str]
) -> dict[str, Any] | None:
    """Return the options of a lease; None if there are none. Raises TypeError: a single text replaces a list."""
    domains = egress if egress in (None, "none") else {"allow": list_of_texts(egress, "egress", '["example.com"]')}
    secret_names = list_of_texts(secrets, "secrets", '["billing"]') if secrets else None
    return {**(options or {}), **without_none(egress=domains, secrets=secret_names)} or None


class Entered(Coroutine[Any, Any, E], Generic[E]):
    """A coroutine that returns a context manager, which `async with` also enters without `await`."""

    def __init__(self, coroutine: Coroutine[Any, Any, E]) -> None:
        self._coroutine = coroutine
        self._result: E | None = None

    def __await__(self) -> Generator[Any, Any, E]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    async def __aenter__(self) -> E:
        self._result = await self._coroutine
        return await self._result.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._result is not None:
            await self._result.__aexit__(kind, error, trace)


def entered(function: Callable[P, Coroutine[Any, Any, E]]) -> Callable[P, Entered[E]]:
    """Let `async with` enter the result of an asynchronous function without `await`."""

    @wraps(function)
    def start(*args: P.args, **kwargs: P.kwargs) -> Entered[E]:
        return Entered(function(*args, **kwargs))

    return start


class LeaseWait:
    """The times at which to check that the session of a new lease runs."""

    def __init__(self, lease: Lease, within_s: float) -> None:
        self._lease, self._within_s = lease, within_s
        self._end_s, self._wait_s = time.monotonic() + within_s, FIRST_POLL_S

    def next_s(self, status: str) -> float | None:
        """Return the time to wait before the next check, for a session with this status; None = the session runs.

        Raises:
            WrongState: the session will never run.
            Unavailable: the session does not run in time.
        """
        if status == SessionStatus.RUNNING:
            return None
        name = self._lease.image_friendly_name
        if status in OVER:
            raise WrongState(f"The session of {name} is {status}; its lease is over.")
        if time.monotonic() > self._end_s:
            raise Unavailable(f"The session of {name} was still {status} after {self._within_s:g} s.")
        wait_s, self._wait_s = self._wait_s, min(MAX_POLL_S, self._wait_s * 1.5)
        return wait_s


def action_place(x: int | None, y: int | None, ref: str | None) -> dict[str, Any]:
    """Return the fields with the place of an action: the position x, y, or an element; no fields = the pointer.

    Raises ValueError: the arguments name a position and an element, or only one of x and y."""
    if (x is None) != (y is None) or (x is not None and ref is not None):
        raise ValueError("An action is done at x and y, or at the ref of an element.")
    if ref is not None:
        return {"ref": ref}
    return {} if x is None else {"coordinate": [x, y]}


def click_action(place: Mapping[str, Any], button: Button, times: int, keys: str | None) -> Action:
    """Return a click as an action. Raises ValueError: the button cannot click that many times."""
    action = _CLICKS.get((button, times)) or (f"{button}_click" if times == 1 else "")
    if not action:
        raise ValueError("Each button can click once. Only the left button can click two or three times.")
    return {"action": action, **place, **without_none(text=keys or None)}


def command_request(
    lease_id: str,
    argv: Sequence[str],
    *,
    timeout_s: float,
    wait_s: float | None,
    is_streamed: bool = False,
    **options: Any,
) -> ApiRequest:
    """Return the request that runs a command. Raises TypeError: `argv` is a single text."""
    begun_within_s = SLACK_S + (DEFAULT_WAIT_S if wait_s is None else wait_s)
    return ApiRequest(
        method="POST",
        path=f"{PREFIX}/leases/{lease_id}/exec",
        body={
            "command": list_of_texts(argv, "A command", '["ls", "-l"], or ["sh", "-c", "ls -l"] with a shell'),
            "timeout_s": timeout_s,
            "stream": is_streamed,
            **without_none(wait_s=wait_s, **options),
        },
        timeout_s=begun_within_s if is_streamed else begun_within_s + timeout_s,
        is_streamed=is_streamed,
    )


class _OutputLine(msgspec.Struct):
    stdout: str = ""
    stderr: str = ""
    stdout_base64: str = ""
    stderr_base64: str = ""
    exit_code: int | msgspec.UnsetType | None = msgspec.UNSET
    error_message: str | None = None


def parse_output(line: str) -> Output | None:
    """Return the output of a command in a line of the response; None = the line only keeps the connection open."""
    content = msgspec.json.decode(line or "{}", type=_OutputLine)
    if content == _OutputLine():
        return None
    return Output(
        stdout=content.stdout.encode() + base64.b64decode(content.stdout_base64),
        stderr=content.stderr.encode() + base64.b64decode(content.stderr_base64),
        has_ended=content.exit_code is not msgspec.UNSET,
        exit_code=None if content.exit_code is msgspec.UNSET else content.exit_code,
        error=content.error_message,
    )


def interruption_error(_: Exception | None = None) -> Interrupted:
    """Return the error for a connection that was lost before the command ended."""
    return Interrupted("The connection was broken off; the command was ended.")


def file_request(lease_id: str, method: str, path: str, *flags: str, **options: Any) -> ApiRequest:
    """Return a request for a path in the session. Each of `flags` is a query parameter with the value `true`."""
    quoted = path.replace(".", "%2E") if path in {".", ".."} else quote(path, safe="")
    address = f"{PREFIX}/leases/{lease_id}/files/{quoted}"
    return ApiRequest(method=method, path=address, query=dict.fromkeys(flags, "true"), **options)


def parse_change(kind: str, data: str) -> Change:
    """Return a change as the server sends it."""
    content = msgspec.json.decode(data, type=dict[str, Any])
    path, is_folder = content.get("path", ""), content.get("is_folder", False)
    return Change(kind=kind, path=path, is_folder=is_folder, error=content.get("error_message"))


def matching_elements(tree: Sequence[Mapping[str, Any]], role: str | None, name: str | None) -> list[Element]:
    """Return the elements with this role and name, in the order of the tree."""
    elements = _flatten(msgspec.convert(tree, list[Element]))
    return [element for element in elements if role in (None, element.role) and name in (None, element.name)]


def first_element(elements: Sequence[Element], role: str | None, name: str | None) -> Element:
    """Return the first of the elements with this role and name. Raises NotFound: there is none."""
    if not elements:
        description = " ".join(part for part in (role or "element", name and f"named {name}") if part)
        raise NotFound(f"No {description} is on the screen; desk.tree() returns all elements.")
    return elements[0]


def _flatten(elements: list[Element]) -> Iterator[Element]:
    for element in elements:
        yield element
        yield from _flatten(element.children)
