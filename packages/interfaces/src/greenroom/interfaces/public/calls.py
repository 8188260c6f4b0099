"""The common part of all published calls: routes, authentication, parsing of bodies, and the published shape of rows.

The published shape of an object is its JSON in the published interface (docs/reference/published-api.md).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.diagnostics.audit_events import begin_operation
from greenroom.api.security import AccessDeclaration, basic_credentials, key_caller
from greenroom.core.errors import Invalid, MalformedBody, Unauthenticated
from greenroom.db.access.users import User, UserAttributes
from greenroom.db.fleet.zones import Zone
from greenroom.db.workspace.images import WorkspaceRow

Answer = dict[str, Any]
"""A JSON object in an answer of the published interface. Its fields differ from the columns of the database."""

MAX_CLIENT_CHARACTERS: Final = 4096
"""The maximum length of a string that is stored for clients; the rest is cut off."""


class PublicRoute(APIRoute):
    """The route of a call below `/api/public`. The same call exists below `/api/admin`."""

    prefixes = "/api/(?:public|admin)/"

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.path_regex = re.compile(self.path_regex.pattern.replace("/api/public/", self.prefixes, 1))


class LifecycleRoute(PublicRoute):
    """The route of a call that some clients send to `/api/`, without `public/`."""

    prefixes = "/api/(?:(?:public|admin)/)?"


def public_router(route_class: type[PublicRoute] = PublicRoute) -> APIRouter:
    """Return a router for published calls."""
    return APIRouter(prefix="/api/public", route_class=route_class, include_in_schema=False)


class CallBody:
    """The body of a call: a JSON object, which is empty if the request has no body."""

    def __init__(self, change: CallerChange, body: Json, headers: Mapping[str, str]) -> None:
        self.change = change
        self.caller = change.caller
        self.body = body
        self.headers = headers

    def nested(self, name: str) -> CallBody:
        """Return the object in the field `name`. Without this field, return the body itself, because some clients send
        the fields of the object there.

        Raises:
            Invalid: the field is not an object.
        """
        value = self.body.get(name)
        if value is None:
            return self
        if not isinstance(value, dict):
            raise Invalid(f"{name} must be an object.")
        return CallBody(self.change, cast("Json", value), self.headers)

    def sent(self, *names: str) -> Json:
        """Return the fields with these names that are in the body and not null."""
        return {name: self.body[name] for name in names if self.body.get(name) is not None}

    def text(self, name: str) -> str:
        """Return a string, empty if the field is missing or null. Raises Invalid: the field is not a string."""
        value = self.body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or "\0" in value:
            raise Invalid(f"{name} must be a text.")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean, which older clients send as "true" or 1; False if the field is missing. Raises Invalid: the
        field is not a boolean."""
        value = self.body.get(name)
        if value in (None, False, 0, "", "false", "False"):
            return False
        if value in (True, 1, "true", "True"):
            return True
        raise Invalid(f"{name} must be true or false.")

    def client_fields(self, defaults: Json) -> Json:
        """Return the sent fields that are in `defaults`. Greenroom stores these fields for clients, and does not use
        them.

        Raises:
            Invalid: a field has another type than its default.
        """
        return {name: self._client_field(name, defaults[name]) for name in self.sent(*defaults)}

    def _client_field(self, name: str, default: object) -> object:
        if isinstance(default, bool):
            return self.flag(name)
        if isinstance(default, int):
            return self.number(name)
        return self.text(name)[:MAX_CLIENT_CHARACTERS]

    def number(self, name: str) -> int:
        """Return a non-negative whole number, which may be sent as a string.

        Raises:
            Invalid: the field is missing, or is not such a number.
        """
        value = self.body.get(name)
        digits = value.strip() if isinstance(value, str) else value
        if isinstance(digits, str) and digits.isascii() and digits.isdecimal() and len(digits) < 16:
            return int(digits)
        if isinstance(digits, (int, float)) and not isinstance(digits, bool) and 0 <= digits < 1e15 and digits % 1 == 0:
            return int(digits)
        raise Invalid(f"{name} must be a whole number that is not negative.")

    def require_fixed_values(self, fixed: Json, reason: str) -> None:
        """Check that the sent fields have the values in `fixed`, the only values that Greenroom supports. Empty values
        are ignored. `reason` is the reason in the error.

        Raises:
            Invalid: a field has another value.
        """
        for name, value in self.sent(*fixed).items():
            if value != fixed[name] and value not in ("", "{}", "[]", "0", "False", "false", 0, {}, []):
                raise Invalid(f"{name} cannot be {json.dumps(value)[:60]}: {reason}; omit it.")

    def optional_id(self, name: str) -> str | None:
        """Return an id with dashes; clients may send it without dashes. None if the field is missing, null or empty.

        Raises:
            Invalid: the field is not an id.
        """
        value = self.body.get(name)
        if value is None or value == "":
            return None
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError) as error:
            raise Invalid(f"{name} is not an id.") from error

    def id(self, name: str) -> str:
        """Return an id as `optional_id` does. Raises Invalid: the field is missing or not an id."""
        value = self.optional_id(name)
        if value is None:
            raise Invalid(f"{name} is missing.")
        return value


class RequiresKey(AccessDeclaration):
    """Reads the body, authenticates the API key in the body or the header, and requires permissions of the key: all of
    `codes`, and at least one of `one_of`."""

    def __init__(self, *codes: str, one_of: tuple[str, ...] = ()) -> None:
        self.codes = codes
        self.one_of = one_of

    async def __call__(self, request: Request) -> CallBody:
        """Authenticate and authorize the call.

        Raises:
            Unauthenticated: the call has no valid key.
            Forbidden: a permission is missing.
            Invalid: the body is not a JSON object.
        """
        raw = await request.body()
        authorization = request.headers.get("authorization", "")
        body: Json = {}
        if authorization:
            key_id, secret = basic_credentials(authorization)
        else:
            body = _parse_object(raw)
            key_id, secret = body.get("api_key"), body.get("api_key_secret")
            if not isinstance(key_id, str) or not isinstance(secret, str) or "\0" in key_id:
                raise Unauthenticated("api_key and api_key_secret are missing.")
        request.state.caller = caller = await key_caller(request, key_id, secret)
        caller.require(*(self.codes or ()))
        caller.require_one_of(*self.one_of)
        await begin_operation(request)
        return CallBody(CallerChange.of(request), body or _parse_object(raw), request.headers)


def requires_key(*codes: str) -> Any:
    """Return the dependency of a published route that needs a key with all permissions in `codes`. The value of the
    dependency is the `CallBody`."""
    return Depends(RequiresKey(*codes))


def requires_key_one_of(*codes: str) -> Any:
    """Return the dependency of a published route that needs a key with at least one permission in `codes`."""
    return Depends(RequiresKey(one_of=codes))


def _parse_object(raw: bytes) -> Json:
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw)
        json.dumps(value, ensure_ascii=False).encode()  # fails for half of a surrogate pair, which cannot be stored
    except (ValueError, RecursionError) as error:
        raise MalformedBody("The body of the request is not JSON.") from error
    if not isinstance(value, dict):
        raise MalformedBody("The body of the request must be a JSON object.")
    return cast("Json", value)


USER_CLIENT_FIELDS: Final[Answer] = {"auto_login_kasm": False, "show_tips": False, "toggle_control_panel": False}
IMAGE_CLIENT_FIELDS: Final[Answer] = {"x_res": 800, "y_res": 600, "uncompressed_size_mb": 0, "hash": None}
"""Fields that Greenroom stores for clients and does not use, with their defaults."""
FIXED_IMAGE_FIELDS: Final[Answer] = {
    "gpu_count": 0,
    "require_gpu": None,
    "server_pool_id": None,
    "restrict_to_network": False,
    "restrict_network_names": [],
    "allow_network_selection": False,
    "persistent_profile_config": {},
    "launch_config": {},
}
"""Fields of a workspace that clients expect, each with the only value that Greenroom supports."""


def hex_id(value: object) -> str | None:
    """Return an image or group id as 32 hex digits; None stays None."""
    return None if value is None else uuid.UUID(str(value)).hex


def format_time(value: datetime | None) -> str | None:
    """Return a time as `YYYY-MM-DD HH:MM:SS.ffffff` in UTC."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def current_time() -> str:
    """Return the present time in the same format."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def user_shape(user: User, kasms: Iterable[Answer] = ()) -> Answer:
    """Return a user in the published shape. `kasms` are the sessions of the user."""
    return {
        "user_id": user.user_id,
        "username": user.username,
        "realm": user.realm,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "phone": user.phone,
        "organization": user.organization,
        "notes": user.notes or None,
        "locked": user.locked,
        "disabled": user.disabled,
        "two_factor": False,
        "created": format_time(user.created),
        "last_session": format_time(user.last_session),
        "groups": [{"name": group.name, "group_id": hex_id(group.group_id)} for group in user.groups],
        "is_anonymous": user.anonymous,
        "kasms": list(kasms),
        "company": {},
    }


def attributes_shape(attributes: UserAttributes) -> Answer:
    """Return the attributes of a user in the published shape, with the fields that are stored for clients."""
    return {
        "user_attributes_id": attributes.user_id,
        "user_id": attributes.user_id,
        "ssh_public_key": attributes.ssh_public_key,
        "preferred_language": attributes.preferred_language,
        "preferred_timezone": attributes.preferred_timezone,
        "default_image": hex_id(attributes.default_image),
        "theme": attributes.theme,
        **USER_CLIENT_FIELDS,
        **attributes.client_fields,
    }


def image_shape(image: WorkspaceRow) -> Answer:
    """Return a workspace in the published shape, without the token of the registry."""
    return {
        "image_id": hex_id(image.image_id),
        "name": image.name,
        "friendly_name": image.friendly_name,
        "description": image.description,
        "notes": image.notes,
        "image_type": image.image_type,
        "image_src": image.image_src,
        "docker_registry": image.docker_registry,
        "docker_user": image.docker_user,
        "docker_token": None,
        "hidden": image.hidden,
        "memory": image.memory,
        "cores": image.cores,
        "cpu_allocation_method": image.cpu_allocation_method,
        "zone_id": image.zone_id,
        "zone_name": image.zone_name,
        "restrict_to_zone": image.restrict_to_zone,
        "server_id": image.server_id,
        "restrict_to_server": image.restrict_to_server,
        "enabled": image.enabled,
        "available": image.available,
        "session_time_limit": image.session_time_limit,
        "persistent_profile_path": image.persistent_profile_path,
        "volume_mappings": image.volume_mappings,
        "run_config": image.run_config,
        "exec_config": image.exec_config,
        "categories": image.categories,
        "filter_policy_id": image.filter_policy_id,
        "filter_policy_name": image.filter_policy_name,
        "filter_policy_force_disabled": image.filter_policy_force_disabled,
        "imageAttributes": [],
        **FIXED_IMAGE_FIELDS,
        **IMAGE_CLIENT_FIELDS,
        **image.client_fields,
    }


def zone_shape(zone: Zone, *, brief: bool = False) -> Answer:
    """Return a zone in the published shape; with `brief`, only its id and its name."""
    names = {"zone_id": zone.zone_id, "zone_name": zone.zone_name}
    if brief:
        return names
    return names | {
        "auto_scaling_enabled": False,
        "allow_origin_domain": zone.allow_origin_domain,
        "upstream_auth_address": zone.upstream_auth_address,
        "load_balancing_strategy": zone.load_balancing_strategy,
        "search_alternate_zones": zone.search_alternate_zones,
        "prioritize_static_agents": True,
        "proxy_connections": zone.proxy_connections,
        "proxy_hostname": zone.proxy_hostname,
        "proxy_path": zone.proxy_path,
        "proxy_port": zone.proxy_port,
    }
