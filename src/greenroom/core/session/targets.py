"""Where in a session's container a request for its stream goes: to its page, or to a service beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greenroom.core.errors import Forbidden
from greenroom.core.session.streams import StreamAddress, as_found, parse_address
from greenroom.core.workspace.session_spec import SessionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """host:port `address` and the folder there, without a slash at its end. `strip` is the beginning of the path that
    named the service, and is not passed on. `elsewhere`: the page serves only this path at the gateway.
    """

    address: str
    base: str = ""
    strip: str = ""
    elsewhere: str = ""


def target_of(asked: StreamAddress, spec: SessionSpec, page: str, services: Mapping[str, str]) -> Target:
    """The target of a request; `page` and `services` (by name) are the addresses, host:port, of the container.

    Raises:
        Forbidden: the session may not use this service, or does not serve it now.
    """
    name = asked.rest.partition("/")[0]
    beside = [one for one in spec.services if (one.name == name if one.port else _begins(asked.rest, one.folder))]
    if refused := next((one.name for one in beside if not one.allowed), None):
        raise Forbidden(f"This session may not use {refused}: the groups of its user do not allow it.")
    if not any(one.port for one in beside):
        own = parse_address(spec.page_path)
        elsewhere = own.prefix if own is not None and own.prefix != asked.prefix else ""
        return Target(address=page, base=spec.page_path.removesuffix("/"), elsewhere=elsewhere)
    if name not in services:
        raise Forbidden(f"The session does not serve {name} now; it may be stopped.")
    return Target(address=services[name], strip=f"/{name}")


def _begins(rest: str, folder: str) -> bool:
    """Whether a container may find what begins with `folder` there."""
    return as_found(rest).startswith(folder)
