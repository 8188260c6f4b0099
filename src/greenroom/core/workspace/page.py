"""The address of the page that a container serves, and its other services: the fields of a workspace for images of
other makers.

Tokens stand for values that exist only for a session. They are allowed in `page_path`, `start_page` and in the
environment and command of the `run_config`: `{path}` is the path of the session's address at the gateway without
slashes around it, `{session_id}` its id, `{password}` the password of its page, `{transfers}` the permitted part of
`upload,download`, or `none`, and the name of each permission stands for `true` or `false`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.workspace.session_spec import Service, StoredSpec

SERVICES: Final[Mapping[str, str]] = {
    "audio": "allow_kasm_audio",
    "audio_input": "allow_kasm_microphone",
    "uploads": "allow_kasm_uploads",
    "downloads": "allow_kasm_downloads",
    "gamepad": "allow_kasm_gamepad",
    "webcam": "allow_kasm_webcam",
}
"""Service that an image can have in addition to its desktop → the permission that it needs."""

OWN_FOLDERS: Final[Mapping[str, str]] = {
    "audio": "sound",
    "audio_input": "microphone",
    "uploads": "files",
    "downloads": "files",
}
"""Service → its folder on the page of Greenroom's images with a desk, which checks the permission."""

PROGRAMS: Final = ("desk", "cdp", "webdriver")
"""Services for programs, in folders of the page with these names: `PROGRAM_FOLDERS`."""

PortMap = dict[str, Any]
"""JSON from an administrator: name of a service → its port in the container, or the beginning of its addresses on the
page, as `validated_ports` allows. The path of a port at the gateway is the name of the service.
"""

OWN_PATH: Final = "/{path}/"
"""The `page_path` of a page that is configured with its path at the gateway."""

MAX_LENGTH: Final = 500
_FOLDER: Final = re.compile(r"/(?:[A-Za-z0-9._~-]+/)*")
_BEGINNING: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~/-]{0,99}")
_RELATIVE: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?{}-]*", re.ASCII)


def page_path_problem(path: str) -> str | None:
    """The reason why a container cannot serve its page at this path, as a sentence; None if it can."""
    is_folder = _FOLDER.fullmatch(path) and not _has_dots(path) and len(path) <= MAX_LENGTH
    if path == OWN_PATH or is_folder:
        return None
    return (
        f"page_path must be /, a folder with a slash at both ends like /vnc/, or {OWN_PATH}, the path at the gateway."
    )


def relative_problem(name: str, address: str) -> str | None:
    """The reason why `start_page` or `ready_path` (its `name`) cannot be used, as a sentence; None if it can be."""
    path, _, query = address.partition("?")
    names = {part.partition("=")[0] for part in query.split("&")}
    is_relative = not (address.startswith("/") or ":" in path.partition("/")[0] or "//" in path or _has_dots(path))
    if is_relative and _RELATIVE.fullmatch(address) and len(address) <= MAX_LENGTH and "token" not in names:
        return None
    return (
        f"{name} must be an address below page_path like vnc.html?resize=remote, without / at its "
        "beginning and without token=."
    )


def _has_dots(path: str) -> bool:
    return any(part in {".", ".."} for part in path.split("/"))


def validated_ports(ports: PortMap) -> PortMap:
    """Return the port map after a check. Raises Invalid: a service is unknown, its value is neither a port nor the
    beginning of addresses, or two services have the same port."""
    for name, where in ports.items():
        if name in PROGRAMS:
            if where != name:
                raise Invalid(
                    f"{name} is served only to programs, in the folder {name} of the page: set it to {name!r}."
                )
            continue
        if name not in SERVICES:
            raise Invalid(f"A port map has no service {name}; the services are {', '.join((*SERVICES, *PROGRAMS))}.")
        is_port = isinstance(where, int) and not isinstance(where, bool) and 1 <= where <= 65535
        if not (is_port or (isinstance(where, str) and _BEGINNING.fullmatch(where) and not _has_dots(where))):
            raise Invalid(
                f"{name} must be a port from 1 to 65535, or the beginning of its addresses in the page, like files."
            )
    of_ports = [where for where in ports.values() if isinstance(where, int)]
    if len(set(of_ports)) < len(of_ports):
        raise Invalid("Two services of the port map have the same port.")
    return ports


def services_of(ports: PortMap, permissions: Mapping[str, bool]) -> tuple[Service, ...]:
    """Return the services of a container that is created with these permissions."""
    ours = tuple(
        replace(_service(name, ports[name]), allowed=bool(permissions.get(permission)))
        for name, permission in SERVICES.items()
        if name in ports
    )
    return ours + tuple(Service(name=name, folder=name, allowed=True) for name in PROGRAMS if name in ports)


def _service(name: str, where: int | str) -> Service:
    return Service(name=name, folder=where) if isinstance(where, str) else Service(name=name, port=where)


def folders_of(services: Iterable[Service], permissions: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of each service that a session may use → its folder, below the path of the session."""
    found = tuple(services)
    has_desk = any(one.name == PROGRAMS[0] for one in found)
    own = OWN_FOLDERS.items() if has_desk else ()
    ours = {name: folder for name, folder in own if permissions.get(SERVICES[name])}
    return ours | {one.name: one.folder or one.name for one in found if one.allowed and one.name in SERVICES}


Values = Mapping[str, str]
"""Name of a token, without its braces → its value."""

_TOKEN: Final = re.compile(r"\{([a-z_]+)\}")


def values(*, path: str, session_id: str, permissions: Mapping[str, bool], password: str = "") -> Values:
    """Return the values of the tokens. `path` may have slashes around it; without a password its token stays."""
    known = {"path": path.strip("/"), "session_id": session_id, **({"password": password} if password else {})}
    transfers = [what for what in ("upload", "download") if permissions.get(f"allow_kasm_{what}s")]
    known["transfers"] = ",".join(transfers) or "none"
    return known | {name: "true" if allowed else "false" for name, allowed in permissions.items()}


def filled(text: str, known: Values) -> str:
    """Return the text with its tokens replaced, in one pass. Unknown tokens are not replaced."""
    return _TOKEN.sub(lambda found: known.get(found[1], found[0]), text)


def filled_spec(spec: StoredSpec, known: Values) -> StoredSpec:
    """Return a specification whose variables are readable, with the tokens of its workspace replaced. Tokens in
    variables from the session's user (`spec["environment"]`) are not replaced: such variables must not get the password
    of the page.
    """
    made = {**spec, "run_config": _filled_in(spec.get("run_config", {}), known, ("environment", "command"))}
    return _filled_in(made, known, ("page_path",))


def _filled_in(table: Any, known: Values, names: Iterable[str]) -> Any:
    """Return the JSON `table` with tokens replaced in the texts of these fields, including nested lists and objects."""
    if not isinstance(table, dict):  # in a row that another program wrote
        return table
    fields = cast("dict[str, Any]", table)
    return {name: _filled_text(value, known) if name in names else value for name, value in fields.items()}


def _filled_text(value: Any, known: Values) -> Any:
    match value:
        case str():
            return filled(value, known)
        case list():
            return [_filled_text(part, known) for part in cast("list[Any]", value)]
        case dict():
            return {name: _filled_text(part, known) for name, part in cast("dict[str, Any]", value).items()}
        case _:
            return value
