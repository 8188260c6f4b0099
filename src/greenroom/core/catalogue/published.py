"""Reads the published lists of workspaces of other products (`schema 1.1` of their workspace registries).

The publisher of a list is not trusted. An entry that Greenroom cannot use is omitted, and a sentence states the reason;
the other entries are still read. Content that is not a list is an error. Unknown fields are ignored.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urljoin

import msgspec

from greenroom.core.errors import Invalid
from greenroom.core.workspace import exec_config, run_config
from greenroom.core.workspace.definition import reference_problem, registry_problem

SCHEMA: Final = "1.1"
MAX_LIST_BYTES: Final = 4 << 20
MAX_ENTRIES: Final = 500
MAX_LEFT_OUT: Final = 50
"""Maximum number of sentences about omitted entries."""
MAX_NAME: Final = 255
MAX_TEXT: Final = 4096
MAX_CATEGORIES: Final = 20
MIN_BYTES: Final = 6 << 20
"""A smaller number is a size in MB, not in bytes."""
MAX_CORES: Final = 4096.0
MAX_BYTES: Final = 1 << 59

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


class _Version(msgspec.Struct):
    """The image of a workspace for one version of the publisher's product."""

    version: str | None = None
    image: str | None = None
    uncompressed_size_mb: float | None = None


class _Row(msgspec.Struct):
    """A workspace as the list contains it."""

    friendly_name: str
    name: str | None = None
    description: str | None = None
    categories: list[str] | None = None
    docker_registry: str | None = None
    image_src: str | None = None
    cores: float | None = None
    memory: float | None = None
    compatibility: list[_Version] | None = None
    run_config: dict[str, Any] | None = None
    exec_config: dict[str, Any] | None = None


class _List(msgspec.Struct):
    """A list as it is published. Its rows are decoded one by one, so that an invalid row affects no other row."""

    workspaces: list[msgspec.Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedWorkspace:
    """A workspace of a published list. `name` is unique within its list; `picture_url` is absolute, or empty."""

    name: str
    friendly_name: str
    image: str
    description: str = ""
    categories: tuple[str, ...] = ()
    docker_registry: str = ""
    picture_url: str = ""
    size_bytes: int | None = None
    cores: float | None = None
    memory: int | None = None
    run_config: dict[str, Any] = field(default_factory=dict[str, Any])
    exec_config: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedList:
    """The usable entries of a list. `left_out` has sentences with the reasons why other entries are omitted."""

    entries: tuple[ListedWorkspace, ...]
    left_out: tuple[str, ...] = ()


def list_address(url: str) -> str:
    """Return the address of the list of a workspace registry: `url` if it is that of a JSON file, otherwise the path of
    the list for `SCHEMA` below `url`."""
    path = url.partition("?")[0]
    return url if path.endswith(".json") else f"{path.rstrip('/')}/{SCHEMA}/list.json"


def read_list(content: bytes, address: str) -> PublishedList:
    """Return the workspaces of a list from `address`. Raises Invalid: the content is not a list of workspaces."""
    try:
        rows = _rows(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Invalid(f"The content of {address} is not a list of workspaces: {error}.") from error
    entries: dict[str, ListedWorkspace] = {}
    left_out: list[str] = []
    if len(rows) > MAX_ENTRIES:
        left_out.append(f"The list has {len(rows)} workspaces; only the first {MAX_ENTRIES} are read.")
    for number, row in enumerate(rows[:MAX_ENTRIES], 1):
        try:
            entry = _entry(row, number, address)
            if entry.name in entries:
                raise Invalid(f"{entry.friendly_name} is in the list twice.")
        except Invalid as error:
            left_out.append(error.message)
        else:
            entries[entry.name] = entry
    more = len(left_out) - MAX_LEFT_OUT
    if more > 0:
        left_out = [*left_out[:MAX_LEFT_OUT], f"{more} more are omitted."]
    return PublishedList(entries=tuple(entries.values()), left_out=tuple(left_out))


def _rows(content: bytes) -> list[msgspec.Raw]:
    """Return the rows of a list, also if a text in one of them contains half of a surrogate pair: msgspec refuses such
    a text in the whole document, and json only in the row. Raises DecodeError, ValueError, RecursionError: the content
    is not a list."""
    try:
        return msgspec.json.decode(content, type=_List).workspaces
    except msgspec.DecodeError:
        document: object = json.loads(content)
        rows = cast("dict[str, object]", document).get("workspaces") if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise
        return [msgspec.Raw(json.dumps(row).encode()) for row in cast("list[object]", rows)]


def _entry(row: msgspec.Raw, number: int, address: str) -> ListedWorkspace:
    """Return an entry of the list. Raises Invalid: the row is not usable."""
    try:
        fields = msgspec.json.decode(row, type=_Row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"Workspace {number} of the list is omitted: {error}.") from error
    friendly_name = fields.friendly_name.strip()
    if not 0 < len(friendly_name) <= MAX_NAME or not friendly_name.isprintable() or "/" in friendly_name:
        raise Invalid(f"Workspace {number} of the list has no usable friendly_name: one line without a slash.")
    try:
        return _workspace_of_row(fields, friendly_name, address)
    except Invalid as error:
        raise Invalid(f"{friendly_name} is omitted: {error.message}") from error


def _workspace_of_row(row: _Row, friendly_name: str, address: str) -> ListedWorkspace:
    version = max(row.compatibility or [], key=_version_key, default=_Version())
    image = version.image or row.name or ""
    docker_registry = _text(row.docker_registry)
    if problem := reference_problem(image):
        raise Invalid(f"{image[:100]!r} is not the reference of an image. {problem}")
    if problem := registry_problem(image, docker_registry):
        raise Invalid(problem)
    categories = (_text(each)[:MAX_NAME] for each in row.categories or [])
    return ListedWorkspace(
        name=_name(row.name, friendly_name),
        friendly_name=friendly_name,
        image=image,
        description=_text(row.description),
        categories=tuple(dict.fromkeys(filter(None, categories)))[:MAX_CATEGORIES],
        docker_registry=docker_registry,
        picture_url=_picture_url(_text(row.image_src), address),
        size_bytes=_bytes(version.uncompressed_size_mb),
        cores=min(row.cores, MAX_CORES) if row.cores and row.cores > 0 else None,
        memory=_bytes(row.memory),
        run_config=_validated_config(row.run_config or {}, run_config.validated),
        exec_config=_validated_config(row.exec_config or {}, exec_config.validated),
    )


def _version_key(version: _Version) -> tuple[int, ...]:
    """Return a key that sorts the newest version last."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version.version or ""))


def _name(name: str | None, friendly_name: str) -> str:
    """Return the name of an entry. Raises Invalid: there is no name, and none can be derived."""
    if name and _NAME.fullmatch(name):
        return name
    derived = re.sub(r"[^a-z0-9]+", "-", friendly_name.lower()).strip("-")[:128]
    if not derived:
        raise Invalid("its friendly_name has no letters for a name; set `name`.")
    return derived


def _text(text: str | None) -> str:
    """Return the part of a text that is stored. PostgreSQL cannot store NUL."""
    return (text or "").replace("\0", "")[:MAX_TEXT]


def _bytes(size: float | None) -> int | None:
    """Return a size as bytes; None if there is no size. A `size` below `MIN_BYTES` is in MB."""
    if size is None or not size > 0:
        return None
    return int(min(size * 1_000_000 if size < MIN_BYTES else size, MAX_BYTES))


def _picture_url(source: str, address: str) -> str:
    """Return the absolute address of a picture. A bare name is in the folder `icons` next to the list."""
    try:
        url = urljoin(address, source if "/" in source else f"icons/{source}") if source else ""
    except ValueError:
        return ""
    return url if url.startswith(("https://", "http://")) else ""


def _validated_config(config: dict[str, Any], check: Any) -> dict[str, Any]:
    """Return the config after a check. Raises Invalid: a container cannot use it."""
    check(config)
    return config
