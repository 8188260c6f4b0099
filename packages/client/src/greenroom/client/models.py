"""The answers of `/api/v1` that programs need. Fields that a later version adds are left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

Tags = list[str] | dict[str, str]
Mode = Literal["none", "actions", "pictures"]
"""The content of the recording of a lease."""
Egress = Sequence[str] | Literal["none"]
"""The domains that a leased session may reach, including their subdomains."""


class LeaseUrls(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of a leased session; None = not offered."""

    page: str
    websocket: str | None = None
    cdp: str | None = None
    webdriver: str | None = None
    mcp: str | None = None
    live: str | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command.

    `exit_code` None: it was ended, and `error` is the reason. Output that is not text is in `stdout_base64`,
    `stderr_base64`.
    """

    exit_code: int | None
    stdout: str
    stderr: str
    stdout_base64: str | None = None
    stderr_base64: str | None = None
    left_out_bytes: int = 0
    error: str | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a command since the previous item; the last item contains the result, as `Command` does."""

    stdout: bytes = b""
    stderr: bytes = b""
    has_ended: bool = False
    exit_code: int | None = None
    error: str | None = None


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a folder; `modified` are seconds since 1970."""

    name: str
    size_bytes: int
    modified: float


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder in a folder."""

    name: str
    modified: float


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a folder; `left_out` is the number of entries beyond the listed ones."""

    path: str
    files: list[File]
    folders: list[Folder]
    left_out: int


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a program's window, as the program describes it.

    `ref` identifies it in actions as long as it exists; `place` is x, y, width, height on the screen.
    """

    ref: str
    role: str
    name: str = ""
    description: str | None = None
    states: list[str] = []
    place: tuple[int, int, int, int] | None = None
    text: str | None = None
    children: list[Element] = []


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change below a folder: `kind` is `created`, `written`, `deleted`, `overflow` or `error`."""

    kind: str
    path: str
    is_folder: bool
    error: str | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease; only the answer to a new lease contains `token` and `urls`."""

    lease_id: str
    session_id: str
    image_friendly_name: str
    outcome: str
    status: str
    tags: Tags
    created: datetime
    expires: datetime | None
    user_id: str | None = None
    username: str | None = None
    ended: datetime | None = None
    ended_reason: str | None = None
    record: Mode = "none"
    record_text: bool = False
    secrets: list[str] = []
    token: str = ""
    urls: LeaseUrls | None = None


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that web filters add to requests to its hosts, without its value. `num_leases` use it now."""

    secret_id: str
    name: str
    description: str
    hosts: list[str]
    header: str
    template: str
    owner_id: str | None
    owner: str | None
    created: datetime
    value_changed: datetime
    num_leases: int
    users: list[str] = []
    groups: list[str] = []
    keys: list[str] = []


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one action; `screenshot` is a PNG."""

    action: str
    done: bool
    error: str | None = None
    ms: float | None = None
    coordinate: tuple[int, int] | None = None
    text: str | None = None
    screenshot: bytes | None = None


class Acted(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a list of actions; `screenshot` is a PNG, if requested."""

    results: list[ActionResult]
    screenshot: bytes | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The recording of a lease; `ended` None: the lease is not over."""

    lease_id: str
    session_id: str
    user_id: str | None
    username: str | None
    holder: str
    image_friendly_name: str
    zone_name: str
    record: Mode
    record_text: bool
    begun: datetime
    ended: datetime | None
    rows: int
    rows_left_out: int
    pictures: int
    pictures_left_out: int
    picture_bytes: int


class PictureSize(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a picture, in pixels."""

    width: int
    height: int


class RecordedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded action; `said` is a sentence, `code` None: it was done.

    `who` is empty for the token of the lease.
    """

    number: int
    began: datetime
    duration_ms: float
    what: str
    said: str
    who: str
    details: dict[str, Any]
    code: str | None
    error: str | None
    picture: PictureSize | None
    picture_left_out: str | None
