"""The path of the page that a container serves, and the ports of its other services. With these fields, a workspace can
use an image that was not built for Greenroom.

Tokens stand for values that exist only for a session. They are allowed in `page_path`, `start_page` and in the
environment and command of the `run_config`:

- `{path}`: the path of the session's address at the gateway, without slashes around it;
- `{session_id}`: the id of the session;
- `{password}`: the password of the page of the session;
- `{transfers}`: the permitted directions: `upload`, `download`, `upload,download` or `none`;
- the name of a permission, such as `{allow_kasm_audio}`: `true` or `false`.
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

DESK_FOLDERS: Final[Mapping[str, str]] = {
    "audio": "sound",
    "audio_input": "microphone",
    "uploads": "files",
    "downloads": "files",
}
"""Service → its folder on the page, for images with a desk (the images of Greenroom). The page of such an image checks
the permission for the service itself.
"""

PROGRAM_SERVICES: Final = ("desk", "cdp", "webdriver")
"""The services for programs, each in a folder of the page with the same name (`core.session.streams`)."""

PortMap = dict[str, Any]
"""JSON from an administrator: name of a service → its port in the container, or the prefix of its paths on the page,
such as `files`. The path of a port at the gateway is the name of the service.
"""

GATEWAY_PATH: Final = "/{path}/"
"""The `page_path` of a page that is configured with its path at the gateway."""

MAX_LENGTH: Final = 500
_FOLDER: Final = re.compile(r"/(?:[A-Za-z0-9._~-]+/)*")
_PATH_PREFIX: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~/-]{0,99}")
_RELATIVE: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?{}-]*", re.ASCII)


def page_path_problem(path: str) -> str | None:
    """Return the reason why a container cannot serve its page at this path, as a sentence; None if it can."""
    is_folder = _FOLDER.fullmatch(path) and not _has_dots(path) and len(path) <= MAX_LENGTH
    if path == GATEWAY_PATH or is_folder:
        return None
    return (
        "page_path must be /, a folder with a slash at both ends like /vnc/, or "
        f"{GATEWAY_PATH}, the path at the gateway."
    )


def relative_address_problem(name: str, address: str) -> str | None:
    """Return the reason why a field (`name`: start_page or ready_path) cannot have this address, as a sentence; None if
    it can.
    """
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
    """Return the port map if it is valid. Raises Invalid: a service is unknown, a value is neither a port nor a
    path prefix, or two services have the same port."""
    for name, value in ports.items():
        if name in PROGRAM_SERVICES:
            if value != name:
                raise Invalid(
                    f"{name} is served only to programs, in the folder {name} of the page: set it to {name!r}."
                )
            continue
        if name not in SERVICES:
            raise Invalid(
                f"A port map has no service {name}; the services are {', '.join((*SERVICES, *PROGRAM_SERVICES))}."
            )
        is_port = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535
        if not (is_port or (isinstance(value, str) and _PATH_PREFIX.fullmatch(value) and not _has_dots(value))):
            raise Invalid(
                f"{name} must be a port from 1 to 65535, or the prefix of its paths on the page, such as files."
            )
    ports_used = [value for value in ports.values() if isinstance(value, int)]
    if len(set(ports_used)) < len(ports_used):
        raise Invalid("Two services of the port map have the same port.")
    return ports


def services_of(ports: PortMap, permissions: Mapping[str, bool]) -> tuple[Service, ...]:
    """Return the services of a container that is created with these permissions."""
    desktop_services = tuple(
        replace(_service(name, ports[name]), allowed=bool(permissions.get(permission)))
        for name, permission in SERVICES.items()
        if name in ports
    )
    return desktop_services + tuple(
        Service(name=name, folder=name, allowed=True) for name in PROGRAM_SERVICES if name in ports
    )


def _service(name: str, port_or_folder: int | str) -> Service:
    return (
        Service(name=name, folder=port_or_folder)
        if isinstance(port_or_folder, str)
        else Service(name=name, port=port_or_folder)
    )


def folders_of(services: Iterable[Service], permissions: Mapping[str, Any]) -> dict[str, str]:
    """Return the folders of the services that a session may use, below the path of the session, by the names of the
    services."""
    service_list = tuple(services)
    has_desk = any(service.name == PROGRAM_SERVICES[0] for service in service_list)
    desk_folders = DESK_FOLDERS.items() if has_desk else ()
    allowed_desk_folders = {name: folder for name, folder in desk_folders if permissions.get(SERVICES[name])}
    return allowed_desk_folders | {
        service.name: service.folder or service.name
        for service in service_list
        if service.allowed and service.name in SERVICES
    }


Values = Mapping[str, str]
"""Name of a token, without its braces → its value."""

_TOKEN: Final = re.compile(r"\{([a-z_]+)\}")


def token_values(*, path: str, session_id: str, permissions: Mapping[str, bool], password: str = "") -> Values:
    """Return the values of the tokens. `path` may have slashes around it; without a password, the token `{password}` is
    not replaced.
    """
    values = {"path": path.strip("/"), "session_id": session_id, **({"password": password} if password else {})}
    transfers = [direction for direction in ("upload", "download") if permissions.get(f"allow_kasm_{direction}s")]
    values["transfers"] = ",".join(transfers) or "none"
    return values | {name: "true" if allowed else "false" for name, allowed in permissions.items()}


def with_tokens_replaced(text: str, values: Values) -> str:
    """Return the text with its tokens replaced, in one pass. Unknown tokens are not replaced."""
    return _TOKEN.sub(lambda match: values.get(match[1], match[0]), text)


def spec_with_tokens_replaced(spec: StoredSpec, values: Values) -> StoredSpec:
    """Return a specification with the tokens of its workspace replaced. Its variables must be decrypted. Tokens in
    variables from the session's user (`spec["environment"]`) are not replaced: such variables must not get the password
    of the page.
    """
    filled_spec = {**spec, "run_config": _filled_in(spec.get("run_config", {}), values, ("environment", "command"))}
    return _filled_in(filled_spec, values, ("page_path",))


def _filled_in(table: Any, values: Values, names: Iterable[str]) -> Any:
    """Return the JSON `table` with tokens replaced in the texts of these fields, including nested lists and objects."""
    if not isinstance(table, dict):  # possible in a row that another program wrote
        return table
    fields = cast("dict[str, Any]", table)
    return {name: _filled_text(value, values) if name in names else value for name, value in fields.items()}


def _filled_text(value: Any, values: Values) -> Any:
    match value:
        case str():
            return with_tokens_replaced(value, values)
        case list():
            return [_filled_text(part, values) for part in cast("list[Any]", value)]
        case dict():
            return {name: _filled_text(part, values) for name, part in cast("dict[str, Any]", value).items()}
        case _:
            return value
