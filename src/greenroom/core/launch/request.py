"""The request of a launch, the data that it needs, and the decisions before its first attempt: the checks of the user
and the workspace, the zone in which the launch begins, the attempts, and the properties of the session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Final

from greenroom.core.access.group_settings import (
    EffectiveSetting,
    GroupSettings,
    client_settings_of,
    permissions_of,
    resolve,
)
from greenroom.core.errors import Forbidden, IdempotencyMismatch, Invalid, NoResources, NotFound
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.nearest import nearest_zone
from greenroom.core.launch.placement import HOME_KEPT_ON, PlacementRequest, placement_request_of
from greenroom.core.launch.plan import LaunchAttempt, LaunchZone, StagedPool, plan_launch
from greenroom.core.launch.wanted import RequestedSession, SessionUser
from greenroom.core.lease import NewLease, limit_refusal, max_for_user
from greenroom.core.recording.descriptions import RECORDING_MODES
from greenroom.core.recording.session_video import with_workspace_policy
from greenroom.core.session.deadlines import clocks_of, lease_clocks
from greenroom.core.workspace.exec_config import assign_of, commands_problem
from greenroom.core.workspace.homes import STORED_HOMES_PATH
from greenroom.core.workspace.launch_environment import PREFERENCES
from greenroom.core.workspace.session_spec import Exec, ProfileMode
from greenroom.core.workspace.spec_builder import ImageFacts, LaunchExtras, on_demand_spec, ssh_files


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """The request of a launch. Ids are UUIDs as text.

    `zone_id` applies only if the user may choose the zone (`allow_zone_selection`). `gateway_zone` is the name of the
    zone whose gateway received the request (header X-Greenroom-Zone). `request_host` is the Host header.
    `persistent_profile_mode` is Enabled, Disabled, Reset, or None = Enabled. A `network_id` only excludes staged
    sessions. The container is not connected to this network, because a caller could name a network that weakens the
    isolation, such as `host`.
    """

    user_id: str
    image_id: str
    request_host: str
    zone_id: str | None = None
    gateway_zone: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    kasm_url: str = ""
    network_id: str | None = None
    persistent_profile_mode: str | None = None
    idempotency_key: str | None = None
    round_trips_ms: dict[str, float] = field(default_factory=dict[str, float])
    """Zone id → the round trip that the browser of the user measured."""
    browser_language: str | None = None
    """The language of the browser, which applies without a preferred language of the user. It does not exclude staged
    sessions."""
    browser_timezone: str | None = None
    for_caller: bool = False
    """True if the session is for the caller or the owner of the calling API key, so that this user needs the permission
    `user` or `users_auth_session`."""
    lease: NewLease | None = None
    """The lease that the session gets; None = no lease."""
    filter_policy: str | None = None
    """The web filter policy that the request contains, which allows no more than the policy in force; None = the policy
    in force."""
    with_secrets: bool = False
    """True if the web filter must add secrets to requests."""

    def body(self) -> str:
        """Return, as JSON, the part of the request that must be equal in all requests with one idempotency key."""
        fields = asdict(replace(self, request_host="", gateway_zone=None, round_trips_ms={}, lease=None))
        for name in ("lease", "for_caller", "browser_language", "browser_timezone"):
            del fields[name]
        if (lease := self.lease) is not None:
            fields |= {"lease_s": lease.seconds, "record_text": lease.record_text}
            fields["record"] = None if lease.record == "none" else lease.record
        return json.dumps(fields, sort_keys=True)


def is_same_request(body: str | None, other_body: str | None) -> bool:
    """True if two bodies (`LaunchRequest.body`) are of the same request. A missing field equals an empty field, because
    a version of Greenroom without the field may have stored one of the bodies."""
    return body == other_body or (
        body is not None and other_body is not None and _non_empty_fields(body) == _non_empty_fields(other_body)
    )


def _non_empty_fields(body: str) -> dict[str, object]:
    """Return the fields of a body that are not empty. The defaults of all fields are empty."""
    try:
        fields = json.loads(body)
    except ValueError:
        return {"": body}
    return {name: value for name, value in fields.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchingUser:
    """The values of a user that apply to all launches. `num_sessions` is the number of the user's sessions that
    count toward the limit: of sessions with a lease for the launch of a lease, otherwise of sessions without a lease.
    """

    username: str
    username_reused: bool
    """True if another user had this name before."""
    disabled: bool
    locked: bool
    preferred_language: str | None
    preferred_timezone: str | None
    has_ssh_keys: bool
    groups: list[GroupSettings]
    num_sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedLaunch:
    """An earlier request with the same idempotency key: its session and its body."""

    session_id: str
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSnapshot(LaunchingUser):
    """The stored data that a launch needs. The Agents are read later, and only for a launch on demand."""

    image: ImageFacts | None
    """None = the workspace does not exist."""
    image_allowed: bool
    zones: list[LaunchZone]
    """The zones in the order of their creation."""
    pools: list[StagedPool]
    ssh_public_key: str | None
    ssh_private_key_encrypted: bytes | None
    repeated: RepeatedLaunch | None
    home_agent_id: str | None = None
    """The Agent that keeps the home of the user for this workspace; None = no Agent."""


class RepeatedRequest(Exception):  # noqa: N818 -- not an error: the answer is the session of the first request
    """Raised if another request with the same idempotency key came first; `session_id` is its session."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A planned launch: the session that the user will get (`wanted`), and the `attempts` in their order.
    `current_zone_id` is the zone in which it begins. `max_sessions` is the maximum number of sessions, or of leases, of
    the user.
    """

    request: LaunchRequest
    launch_id: str
    username: str
    image: ImageFacts
    max_sessions: int
    current_zone_id: str
    attempts: tuple[LaunchAttempt, ...]
    wanted: RequestedSession


UNLIMITED: Final = 1_000_000
"""The maximum number of sessions if there is no limit."""


def launch_facts(user: LaunchingUser, image: ImageFacts, request: LaunchRequest | None = None) -> LaunchFacts:
    """Return the settings of a launch of a workspace by a user. Without a request, the launch has no options."""
    return LaunchFacts(
        settings=resolve(user.groups),
        persistent_profile_path=image.persistent_profile_path,
        persistent_profile_mode=request.persistent_profile_mode if request else None,
        image_volume_mappings=image.volume_mappings,
        filters_disabled=image.filter_policy_force_disabled,
        assign=assign_of(image.exec_config, request.kasm_url if request else None),
        language=user.preferred_language or None,
        timezone=user.preferred_timezone or None,
        has_ssh_keys=user.has_ssh_keys,
        environment=request.environment if request else {},
        network_id=request.network_id if request else None,
        kasm_url=request.kasm_url if request else None,
        filter_policy=request.filter_policy if request else None,
    )


def facts_of_members(settings: Mapping[str, EffectiveSetting], image: ImageFacts) -> LaunchFacts:
    """Return the settings of a launch of a workspace by any user with these settings, without preferences of the user
    and without options."""
    return LaunchFacts(
        settings=settings,
        persistent_profile_path=image.persistent_profile_path,
        image_volume_mappings=image.volume_mappings,
        filters_disabled=image.filter_policy_force_disabled,
    )


def plan_request(
    request: LaunchRequest, snapshot: LaunchSnapshot, *, launch_id: str, decrypt: Callable[[bytes], str]
) -> Launch:
    """Return the planned launch. `decrypt` decrypts the private SSH key of the user.

    Raises:
        RepeatedRequest: an earlier request with the same idempotency key created a session.
        IdempotencyMismatch: a different request had the same idempotency key.
        NotFound: the workspace does not exist.
        Forbidden: the user is disabled or locked, or may not use the workspace.
        SessionLimit, LeaseLimit: the user has `max_kasms_per_user` sessions, or for a lease `max_leases_per_user`
            leases.
        Invalid: the zone does not exist, the workspace accepts no variables, there is no profile to enable or reset,
            the lease is longer than the session time limit of the user, or a command of the workspace would run as root
            in a session that can write to a folder of the host.
        NoResources: there is no zone.
    """
    if (repeated := snapshot.repeated) is not None:
        raise (
            RepeatedRequest(repeated.session_id)
            if is_same_request(repeated.body, request.body())
            else IdempotencyMismatch
        )
    image = _allowed_image(request, snapshot)
    facts = launch_facts(snapshot, image, request)
    if request.persistent_profile_mode in ("Enabled", "Reset") and not image.persistent_profile_path:
        raise Invalid(
            f"{image.friendly_name} has no persistent profile. Omit persistent_profile_mode, or set "
            "persistent_profile_path of the workspace."
        )
    if request.environment and not image.allow_launch_variables:
        raise Invalid(
            f"{image.friendly_name} does not accept variables from a launch. Omit environment, or ask an "
            "administrator to set allow_launch_variables of the workspace."
        )
    if facts.writes_to_the_host() and (problem := commands_problem(image.exec_config)):
        raise Invalid(f"{image.friendly_name} cannot be launched by this user: {problem}")
    leased = request.lease is not None
    if (refusal := limit_refusal(facts.settings, leased=leased, user_sessions=snapshot.num_sessions)) is not None:
        raise refusal
    clocks = clocks_of(facts.settings, image.session_time_limit, image.friendly_name)
    first_zone_id, nearest_remark = _first_zone(snapshot.zones, request, image, facts)
    permissions = permissions_of(facts.settings)
    extras = _extras_of(request, snapshot, facts, decrypt)
    assign = Exec(argv=())
    if facts.assign is not None:
        identity = {"KASM_USER": snapshot.username, "KASM_USER_ID": request.user_id}
        url = {"KASM_URL": request.kasm_url} if request.kasm_url else {}
        assign = replace(facts.assign, environment={**facts.assign.environment, **identity, **url})
    if (lease := request.lease) is not None:
        clocks, minimum = lease_clocks(lease.seconds, clocks), facts.value("record_leases")
        lease = replace(
            lease,
            record=max(lease.record, minimum, key=RECORDING_MODES.index),
            record_required=minimum == "pictures",
            must_record=minimum != "none",
        )
    return Launch(
        request=request,
        launch_id=launch_id,
        username=snapshot.username,
        image=image,
        max_sessions=max_for_user(facts.settings, leased=leased),
        current_zone_id=first_zone_id,
        attempts=plan_launch(snapshot.zones, first_zone_id, image, snapshot.pools, facts),
        wanted=RequestedSession(
            user=SessionUser(
                user_id=request.user_id,
                launch_id=launch_id,
                clocks=clocks,
                kasm_url=request.kasm_url,
                client_settings=with_workspace_policy(client_settings_of(facts.settings), image.record_sessions),
                idempotency_key=request.idempotency_key,
                idempotency_body=request.body() if request.idempotency_key else None,
                needs_permission=request.for_caller,
                lease=lease,
            ),
            image=image,
            permissions=permissions,
            assign=assign,
            request=replace(
                _restricted_to_home(placement_request_of(image), snapshot.home_agent_id, facts),
                with_secrets=request.with_secrets,
            ),
            spec_maker_for=lambda zone: partial(on_demand_spec, image, zone.facts, permissions, extras),
            remark=" ".join(filter(None, (nearest_remark, facts.missing_profile_warning()))),
            refused_user_waits=True,
        ),
    )


def _restricted_to_home(request: PlacementRequest, home_agent_id: str | None, facts: LaunchFacts) -> PlacementRequest:
    """Return the request with only the Agent of the user's home, unless the workspace is restricted to an Agent."""
    is_kept = facts.persistent_profile_path == STORED_HOMES_PATH and facts.profile_is_applied()
    if not is_kept or home_agent_id is None or request.only_agent_id is not None:
        return request
    return replace(request, only_agent_id=home_agent_id, only_reason=HOME_KEPT_ON)


def _allowed_image(request: LaunchRequest, snapshot: LaunchSnapshot) -> ImageFacts:
    image = snapshot.image
    if image is None:
        raise NotFound(f"There is no workspace {request.image_id}; it may have been deleted.")
    if snapshot.disabled or snapshot.locked:
        raise Forbidden(f"The user {snapshot.username} is disabled or locked; an administrator can change that.")
    if not snapshot.image_allowed:
        raise Forbidden(
            f"{snapshot.username} may not use workspace {image.friendly_name}; an administrator can add it to "
            "one of the user's groups."
        )
    return image


def current_zone_id(zones: Sequence[LaunchZone], request: LaunchRequest, *, may_choose: bool) -> str:
    """Return the id of the zone in which a launch begins if `nearest_zone` is off (docs/explanation/a-launch.md): the
    requested zone if the user may choose, else the zone of the gateway, else the first of `zones`.

    Raises:
        Invalid: the requested zone does not exist.
        NoResources: there is no zone.
    """
    if not zones:
        raise NoResources("There is no zone yet; add a Manager first.")
    if request.zone_id and may_choose:
        if request.zone_id not in {zone.zone_id for zone in zones}:
            raise Invalid(f"There is no zone {request.zone_id}; omit zone_id or choose another zone.")
        return request.zone_id
    addressed = [zone for zone in zones if request.gateway_zone in (zone.zone_name, *zone.former_names)]
    return (addressed or list(zones))[0].zone_id


def _first_zone(
    zones: Sequence[LaunchZone], request: LaunchRequest, image: ImageFacts, facts: LaunchFacts
) -> tuple[str, str]:
    """Return the id of the zone in which the launch begins by the setting `nearest_zone`, and a sentence for the trace;
    empty if no zone is nearer to the user than the default zone.
    """
    may_choose, mode = bool(facts.value("allow_zone_selection")), facts.value("nearest_zone")
    first_zone_id = current_zone_id(zones, request, may_choose=may_choose)
    default_zone_id = current_zone_id(zones, request, may_choose=False)
    has_chosen = bool(request.zone_id and may_choose)
    # Only users who may choose a zone get a suggestion.
    uses_nearest = mode != "off" and (not has_chosen if mode == "on" else may_choose)
    nearest = nearest_zone(zones, default_zone_id, image, request.round_trips_ms) if uses_nearest else None
    if nearest is None:
        return first_zone_id, ""
    if mode == "on":
        return nearest.zone_id, f"The launch began in {nearest.text}."
    if first_zone_id == nearest.zone_id:
        return first_zone_id, f"The user accepted the suggestion to begin in {nearest.text}."
    return first_zone_id, f"The user did not accept the suggestion to begin in {nearest.text}."


def _language_of(request: LaunchRequest, facts: LaunchFacts) -> str | None:
    """Return the preferred language of the user, or else the language of the browser. A browser in English keeps the
    language of the workspace. Variables of the request have priority over the browser."""
    language = request.browser_language or "en"
    has_variable = not request.environment.keys().isdisjoint(PREFERENCES - {"TZ"})
    return facts.language or (None if has_variable or language.partition("-")[0] == "en" else language)


def _timezone_of(request: LaunchRequest, facts: LaunchFacts) -> str | None:
    return facts.timezone or (None if "TZ" in request.environment else request.browser_timezone)


def _extras_of(
    request: LaunchRequest, snapshot: LaunchSnapshot, facts: LaunchFacts, decrypt: Callable[[bytes], str]
) -> LaunchExtras:
    mode: ProfileMode = "Reset" if request.persistent_profile_mode == "Reset" else "Enabled"
    injects_keys, encrypted_key = bool(facts.value("inject_ssh_keys")), snapshot.ssh_private_key_encrypted
    private_key = decrypt(encrypted_key) if injects_keys and encrypted_key else None
    return LaunchExtras(
        request_host=request.request_host,
        username=snapshot.username,
        username_reused=snapshot.username_reused,
        user_id=request.user_id,
        environment=request.environment,
        kasm_url=request.kasm_url,
        language=_language_of(request, facts),
        timezone=_timezone_of(request, facts),
        expose_user=bool(facts.value("expose_user_environment_vars")),
        run_config=facts.value("run_config"),
        volume_mapping=facts.value("volume_mapping"),
        filter_policy=facts.value("web_filter_policy") or None,
        lease_filter_policy=request.filter_policy,
        profile=mode if facts.profile_is_applied() else None,
        files=ssh_files(snapshot.ssh_public_key, private_key) if injects_keys else (),
    )
