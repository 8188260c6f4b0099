# Written by script/generate_client.py from asynchronous_desk.py: run script/lint --fix after that file changes.
"""A leased session, for programs without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from greenroom.client import desk
from greenroom.client.desk import ACTIONS_S, TRANSFER_S, Action, Button, Change, Direction, Output
from greenroom.client.errors import ActionFailed
from greenroom.client.models import Acted, ActionResult, Command, Element, Lease, LeaseUrls, Listing
from greenroom.client.requests import ApiRequest, EventDecoder, T, without_none

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

    from greenroom.client.synchronous import Connection


class Desk:
    """A leased session. As a context manager, it releases the lease at the end of the block.

    Methods raise `GreenroomError` if the server refuses a request (`Invalid`: a position is outside the screen, …), and
    `ActionFailed` if an action failed on the screen.
    """

    def __init__(self, greenroom: Connection, lease: Lease) -> None:
        self.lease = lease
        self.files = Files(greenroom, lease.lease_id)
        self._greenroom = greenroom
        self._path = f"/leases/{lease.lease_id}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def urls(self) -> LeaseUrls:
        """The addresses of the session. Raises TypeError: they are unknown. Only a new lease has them."""
        if self.lease.urls is None:
            raise TypeError("Only the answer to a new lease has its addresses.")
        return self.lease.urls

    def extend(self, seconds: int) -> None:
        """Set the deadline to `seconds` from now."""
        lease = self._greenroom.ask(Lease, "PATCH", self._path, {"seconds": seconds})
        self.lease = msgspec.structs.replace(lease, token=self.lease.token, urls=self.lease.urls)

    def release(self) -> None:
        """End the lease: the session is destroyed. A repeated call succeeds."""
        self._greenroom.request("DELETE", self._path)

    def act(self, *actions: Action, screenshot: bool = False, display: tuple[int, int] | None = None) -> Acted:
        """Do these actions, in the format of docs/reference/actions.md, until one fails.

        `display`: the size of the screen (width, height) to which coordinates and screenshots refer.
        """
        body: dict[str, Any] = {"actions": actions, "screenshot": screenshot}
        if display is not None:
            body["display"] = dict(zip(("width", "height"), display, strict=True))
        return self._greenroom.ask(Acted, "POST", f"{self._path}/actions", body, timeout_s=ACTIONS_S)

    def screenshot(
        self,
        region: tuple[int, int, int, int] | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        cursor: bool = True,
    ) -> bytes:
        """Return the screen as PNG, or only `region`: x and y of the upper left and of the lower right corner."""
        query = {"width": width, "height": height, "cursor": None if cursor else "false"}
        corners = ",".join(map(str, region)) if region else None
        return self._greenroom.download(f"{self._path}/screenshot", {"region": corners, **query})

    def click(
        self,
        x: int | None = None,
        y: int | None = None,
        *,
        button: Button = "left",
        times: int = 1,
        keys: str | None = None,
        ref: str | None = None,
    ) -> None:
        """Click at x, y, at the element `ref` (see `find`), or at the pointer, with keys such as `ctrl` pressed."""
        self._do(desk.click_action(desk.action_place(x, y, ref), button, times, keys))

    def move(self, x: int | None = None, y: int | None = None, *, ref: str | None = None) -> None:
        """Move the pointer to x, y, or to an element."""
        self._do({"action": "mouse_move", **desk.action_place(x, y, ref)})

    def drag(self, start: tuple[int, int], end: tuple[int, int], *, keys: str | None = None) -> None:
        """Drag with the left button, with keys such as `ctrl` pressed."""
        path = {"start_coordinate": start, "coordinate": end}
        self._do({"action": "left_click_drag", **path, **without_none(text=keys or None)})

    def scroll(
        self,
        direction: Direction,
        notches: int = 3,
        x: int | None = None,
        y: int | None = None,
        *,
        ref: str | None = None,
    ) -> None:
        """Turn the wheel, at x, y, at an element or at the pointer."""
        action = {"action": "scroll", "scroll_direction": direction, "scroll_amount": notches}
        self._do({**action, **desk.action_place(x, y, ref)})

    def type(self, text: str, *, ref: str | None = None) -> None:
        """Type text, with any Unicode characters. With `ref`, click at this element first."""
        self._do({"action": "type", "text": text, **desk.action_place(None, None, ref)})

    def focus(self, ref: str) -> None:
        """Give an element the keyboard focus without a click."""
        self._do({"action": "focus", "ref": ref})

    def key(self, keys: str, *, seconds: float = 0) -> None:
        """Press keys: `Return`, `ctrl+s`, `ctrl+a Delete`; with `seconds`, hold them for this time."""
        action = {"action": "hold_key", "duration": seconds} if seconds else {"action": "key"}
        self._do({**action, "text": keys})

    def open(self, url: str) -> None:
        """Open a web address."""
        self._do({"action": "open_address", "url": url})

    def copy(self, text: str) -> None:
        """Put text on the clipboard."""
        self._do({"action": "set_clipboard", "text": text})

    def clipboard(self) -> str:
        """Return the text on the clipboard."""
        result = self._do({"action": "get_clipboard"})
        return result.text or ""

    def _do(self, action: Action) -> ActionResult:
        (result,) = (self.act(action)).results
        if not result.done:
            raise ActionFailed(result.error)
        return result

    def exec(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        input: str | None = None,  # noqa: A002 -- as subprocess.run has it
        timeout_s: float = 60.0,
        wait_s: float | None = None,
    ) -> Command:
        """Run a command in the session and wait for its end.

        `timeout_s` counts from the start of the command. While too many commands run in the session, the command waits
        up to `wait_s` (0 to 60; None = 10; 0 = fail at once). Raises GreenroomError: the command is invalid
        (`Invalid`) or not allowed (`Forbidden`), too many commands run (`TooManyRequests`), …
        """
        options: dict[str, Any] = {"timeout_s": timeout_s, "wait_s": wait_s, "env": env}
        options |= {"workdir": workdir, "input": input}
        answer = self._greenroom.send(desk.command_request(self.lease.lease_id, command, **options))
        return msgspec.json.decode(answer.content, type=Command)

    def exec_stream(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        input: str | None = None,  # noqa: A002 -- as subprocess.run has it
        timeout_s: float = 3600.0,
        wait_s: float | None = None,
    ) -> Generator[Output]:
        """Yield the output of a command while it arrives; the last item contains the result.

        Closing the generator ends the command.

        For `timeout_s` and `wait_s` see `exec`. Raises GreenroomError: as for `exec`; the connection was lost
        (`Interrupted`).
        """
        options: dict[str, Any] = {"timeout_s": timeout_s, "wait_s": wait_s, "env": env}
        options |= {"workdir": workdir, "input": input}
        request = desk.command_request(self.lease.lease_id, command, is_streamed=True, **options)
        for output in _stream_lines(self._greenroom, request, desk.parse_output):
            yield output
            if output.has_ended:
                return
        raise desk.interruption_error()

    def tree(
        self, ref: str | None = None, *, depth: int | None = None, everything: bool = False
    ) -> list[dict[str, Any]]:
        """Return the elements of the windows on the screen, or only those below the element `ref`. `everything`
        includes elements that are not visible."""
        query = {"ref": ref, "depth": depth, "all": "true" if everything else None}
        return (self._greenroom.request("GET", f"{self._path}/tree", query=query))["elements"]

    def find(self, role: str | None = None, name: str | None = None, *, below: str | None = None) -> Element:
        """Return the first element with this role and name. `below` is the `ref` of an element: only the elements below
        it are searched. Raises NotFound: there is none."""
        return desk.first_element(self.find_all(role, name, below=below), role, name)

    def find_all(self, role: str | None = None, name: str | None = None, *, below: str | None = None) -> list[Element]:
        """Return all elements with this role and name."""
        return desk.matching_elements(self.tree(below), role, name)


class Files:
    """The files of a session. Paths are below its home folder."""

    def __init__(self, greenroom: Connection, lease_id: str) -> None:
        self._greenroom = greenroom
        self._lease_id = lease_id

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises GreenroomError: it does not exist (`NotFound`), …"""
        return self._read(path)

    def write(self, path: str, content: bytes | str) -> str:
        """Write a file, and create the folders above it; return its path."""
        return self._write(path, content)

    def list(self, path: str = "") -> Listing:
        """List a folder."""
        answer = self._greenroom.send(desk.file_request(self._lease_id, "GET", path, "list"))
        return msgspec.json.decode(answer.content, type=Listing)

    def make_folder(self, path: str) -> str:
        """Create a folder, and the folders above it; return its path."""
        return self._write(f"{path.rstrip('/')}/", b"")

    def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete a file or an empty folder; with `recursive` any folder."""
        flags = ("recursive",) if recursive else ()
        self._greenroom.send(desk.file_request(self._lease_id, "DELETE", path, *flags))

    def read_tar(self, path: str) -> bytes:
        """Return a folder as a tar archive."""
        return self._read(path, "tar")

    def write_tar(self, path: str, content: bytes) -> str:
        """Unpack a tar archive into a folder; return the path of the folder."""
        return self._write(path, content, "tar")

    def watch(self, path: str = "") -> Generator[Change]:
        """Yield the changes below a folder, without end."""
        request = desk.file_request(self._lease_id, "GET", path, "watch", is_streamed=True)
        return _stream_lines(self._greenroom, request, EventDecoder(desk.parse_change).decode_line)

    def _read(self, path: str, *flags: str) -> bytes:
        request = desk.file_request(self._lease_id, "GET", path, *flags, timeout_s=TRANSFER_S)
        return (self._greenroom.send(request)).content

    def _write(self, path: str, content: bytes | str, *flags: str) -> str:
        data = content.encode() if isinstance(content, str) else content
        request = desk.file_request(self._lease_id, "PUT", path, *flags, content=data, timeout_s=TRANSFER_S)
        return (self._greenroom.send(request)).json()["path"]


def _stream_lines(greenroom: Connection, request: ApiRequest, decode: Callable[[str], T | None]) -> Generator[T]:
    with greenroom.stream(request, desk.interruption_error) as answer:
        for line in answer.iter_lines():
            if (item := decode(line)) is not None:
                yield item
