# Written by script/generate_from_api.py from the document of the api: run script/lint --fix.
"""The answers of `/api/v1` that programs need. Fields that a later version adds are left out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec


class LeaseUrls(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of the session; None = not available."""

    page: str
    """Page of the session, for a person."""
    websocket: str | None = None
    """Stream (RFB); None = the session has no Agent yet."""
    cdp: str | None = None
    """Chrome DevTools, with the token; None = not available."""
    webdriver: str | None = None
    """W3C WebDriver, with the token; None = not available."""
    mcp: str | None = None
    """Model Context Protocol, with the token as Bearer."""
    live: str
    """Page on which a person who is logged in can watch, take control and return it."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease, and the status of its session."""

    lease_id: str
    session_id: str
    user_id: str | None = None
    username: str | None = None
    holder: str
    """Caller that requested it."""
    image_id: str
    image_friendly_name: str
    zone_name: str
    outcome: Literal["staged", "on_demand"]
    """Staged, or created on demand."""
    status: str
    """Status of the session."""
    tags: list[str] | dict[str, str] = []
    """Words by which leases can be found: a list, or an object of name and word."""
    record: Literal["none", "actions", "pictures"]
    """Recorded data."""
    record_text: bool
    secrets: list[str] = []
    """Names of the secrets that the web filter adds to requests."""
    created: datetime
    expires: datetime | None = None
    """Deadline at which the session is deleted."""
    ended: datetime | None = None
    ended_reason: str | None = None
    token: str = ""
    """Authorization: Bearer; valid for this lease until it ends."""
    urls: LeaseUrls | None = None


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, without its value."""

    name: str
    description: str
    hosts: list[str] = []
    header: str
    template: str
    users: list[str] = []
    groups: list[str] = []
    keys: list[str] = []
    secret_id: str
    owner_id: str | None = None
    """User who created it and may use it; None = created with the first API key."""
    owner: str | None = None
    """Name of the owner."""
    created: datetime
    value_changed: datetime
    num_leases: int
    """Number of leases whose web filter has it now."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command."""

    exit_code: int | None = None
    """Exit code; 128 + n if signal n ended the command; None = see `error`."""
    stdout: str
    """Bytes that are not UTF-8 are replaced; empty for binary output."""
    stderr: str
    stdout_base64: str | None = None
    """Complete output in base64, if it is not UTF-8."""
    stderr_base64: str | None = None
    left_out_bytes: int = 0
    """Number of bytes that are missing at the end of an output that is too long."""
    error: str | None = None
    """Reason why the command did not exit normally."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the listed folder."""

    name: str
    size_bytes: int
    modified: float
    """Seconds since 1970."""


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder in the listed folder."""

    name: str
    modified: float


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a folder."""

    path: str
    """Relative to the home folder."""
    files: list[File] = []
    folders: list[Folder] = []
    left_out: int
    """Number of other entries, such as those beyond the first 2000."""


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a program's window, as the program describes it."""

    ref: str
    """Reference for actions, valid as long as the element exists."""
    role: str
    """E.g. push button, text, menu item."""
    name: str
    description: str | None = None
    states: list[str] = []
    """E.g. focused, checked, disabled."""
    place: tuple[int, int, int, int] | None = None
    """X, y, width, height on the screen."""
    text: str | None = None
    """Content, up to 2000 characters."""
    children: list[Element] = []


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one action."""

    action: str
    """Name, as in the request."""
    done: bool
    error: str | None = None
    """Reason for a failure."""
    ms: float | None = None
    """Duration in the session, milliseconds."""
    coordinate: tuple[int, int] | None = None
    """Position of the pointer (cursor_position)."""
    text: str | None = None
    """Content of the clipboard (get_clipboard)."""
    screenshot: bytes | None = None
    """PNG (screenshot, zoom)."""


class Acted(msgspec.Struct, frozen=True, kw_only=True):
    """The results of all actions of a request."""

    results: list[ActionResult] = []
    screenshot: bytes | None = None
    """PNG, if requested."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The recording of a lease."""

    lease_id: str
    session_id: str
    user_id: str | None = None
    username: str | None = None
    holder: str
    """Caller that requested the lease."""
    image_friendly_name: str
    zone_name: str
    record: Literal["none", "actions", "pictures"]
    """Recorded data."""
    record_text: bool
    """True = typed text, clipboard, addresses and complete commands are recorded."""
    begun: datetime
    ended: datetime | None = None
    """End of the lease; None = the lease is not over."""
    rows: int
    """Number of rows; they are numbered from 1."""
    rows_left_out: int
    """Number of rows beyond 100,000."""
    pictures: int
    pictures_left_out: int
    """Number of rows without their picture; each row contains the reason."""
    picture_bytes: int


class PictureSize(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a picture, in pixels."""

    width: int
    height: int


class RecordedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded action."""

    began: datetime
    duration_ms: float
    what: str
    """Click, type, exec, file-write, control, ended, …."""
    said: str
    """The action, as a sentence."""
    who: str
    """Caller; empty = the program with the token of the lease, or Greenroom."""
    details: dict[str, Any] = {}
    """E.g. the position `at`, and the size of the `screen`."""
    code: str | None = None
    """Code of the failure; None = the action succeeded."""
    error: str | None = None
    """The failure, as a sentence."""
    number: int
    picture: PictureSize | None = None
    """Screen after the action, at `pictures/{number}`."""
    picture_left_out: str | None = None
    """Reason for a missing picture."""
