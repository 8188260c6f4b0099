"""The request of a launch, and all decisions before its first attempt.

Pure but for the launch's new id: from the request and the snapshot of `db.launch.ledger.read_launch` to the attempts
and to what the container or the hand-over gets.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from greenroom.core.access.group_settings import client_settings_of, permissions_of, resolve
from greenroom.core.errors import Forbidden, IdempotencyMismatch, Invalid, NoResources, NotFound
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.placement import session_of
from greenroom.core.launch.plan import Attempt, LaunchZone, plan_launch
from greenroom.core.session.expiry import clocks_of
from greenroom.core.workspace.exec_config import command_of, commands_problem
from greenroom.core.workspace.session_spec import File, ProfileMode
from greenroom.core.workspace.spec_builder import ImageFacts, LaunchExtras, on_demand_spec
from greenroom.db.launch.ledger import LaunchingUser, LaunchSnapshot
from greenroom.db.session.sessions import SessionUser, limit_reached
from greenroom.sessions.wanted import WantedSession
from greenroom.wire.messages import Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """What was requested. Ids are uuids as text.

    `zone_id` counts if the user may choose (`allow_zone_selection`); `gateway_zone` is the name of the zone whose
    gateway was addressed (header X-Greenroom-Zone), `request_host` the Host header, which the gateway serves. A
    `network_id` only excludes staged sessions: the caller must not choose the container's network (`host`,
    `container:…`, a network without our rules).
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

    def body(self) -> str:
        """What must be equal if the idempotency key is equal."""
        return json.dumps(asdict(replace(self, request_host="", gateway_zone=None)), sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One launch with everything that was read for it. `current_zone_id` is where it begins, `begin_s` the time of the
    request (perf_counter)."""

    request: LaunchRequest
    launch_id: str
    username: str
    image: ImageFacts
    facts: LaunchFacts
    current_zone_id: str
    attempts: tuple[Attempt, ...]
    begin_s: float

    @property
    def max_sessions(self) -> int:
        return int(self.facts.value("max_kasms_per_user"))

    def elapsed_ms(self) -> float:
        """Since the request."""
        return (time.perf_counter() - self.begin_s) * 1000


def launch_facts(user: LaunchingUser, image: ImageFacts, request: LaunchRequest | None = None) -> LaunchFacts:
    """What is in force for the user of a workspace; without a request for any plain launch."""
    return LaunchFacts(
        settings=resolve(user.groups),
        persistent_profile_path=image.persistent_profile_path,
        persistent_profile_mode=request.persistent_profile_mode if request else None,
        image_volume_mappings=image.volume_mappings,
        filters_disabled=image.filter_policy_force_disabled,
        has_assign=command_of(image.exec_config, "assign") is not None,
        language=user.preferred_language or None,
        timezone=user.preferred_timezone or None,
        environment=request.environment if request else {},
        network_id=request.network_id if request else None,
        kasm_url=request.kasm_url if request else None,
    )


def repeated_session(snapshot: LaunchSnapshot, request: LaunchRequest) -> str | None:
    """The session that an earlier request with the same idempotency key made.

    Raises:
        IdempotencyMismatch: it was a different request.
    """
    repeated = snapshot.repeated
    if repeated is None:
        return None
    if repeated.body != request.body():
        raise IdempotencyMismatch
    return repeated.session_id


def planned(request: LaunchRequest, snapshot: LaunchSnapshot, begin_s: float) -> Launch:
    """The launch with its attempts in order.

    Raises:
        NotFound: there is no such workspace.
        Forbidden: the user is disabled, or may not use the workspace.
        SessionLimit: `max_kasms_per_user` is reached.
        Invalid: there is no such zone, or a command of the workspace would be root's beside a folder that the session
            can write to.
        NoResources: there is no zone at all.
    """
    image = _allowed_image(request, snapshot)
    facts = launch_facts(snapshot, image, request)
    if facts.writes_to_the_host() and (problem := commands_problem(image.exec_config)):
        raise Invalid(f"{image.friendly_name} cannot be launched by this user: {problem}")
    if snapshot.num_sessions >= int(facts.value("max_kasms_per_user")):
        raise limit_reached(int(facts.value("max_kasms_per_user")))
    begins_in = current_zone_id(snapshot.zones, request, may_choose=bool(facts.value("allow_zone_selection")))
    return Launch(
        request=request,
        launch_id=str(uuid.uuid4()),
        username=snapshot.username,
        image=image,
        facts=facts,
        current_zone_id=begins_in,
        attempts=plan_launch(snapshot.zones, begins_in, image, snapshot.pools, facts),
        begin_s=begin_s,
    )


def _allowed_image(request: LaunchRequest, snapshot: LaunchSnapshot) -> ImageFacts:
    image = snapshot.image
    if image is None:
        raise NotFound(f"There is no workspace {request.image_id}; it may have been deleted.")
    if snapshot.disabled or snapshot.locked:
        raise Forbidden(f"The user {snapshot.username} is disabled or locked; an administrator can change that.")
    if not snapshot.image_allowed:
        raise Forbidden(
            f"{snapshot.username} may not use workspace {image.friendly_name}; an administrator can give it to one"
            " of the user's groups."
        )
    return image


def current_zone_id(zones: Sequence[LaunchZone], request: LaunchRequest, *, may_choose: bool) -> str:
    """The zone in which a launch begins (CONTRACT "Current zone"); `zones` in order of creation.

    Raises:
        Invalid: the requested zone does not exist.
        NoResources: there is no zone at all.
    """
    if not zones:
        raise NoResources("There is no zone yet; add a Manager first.")
    if request.zone_id and may_choose:
        if request.zone_id not in {zone.zone_id for zone in zones}:
            raise Invalid(f"There is no zone {request.zone_id}; leave zone_id out or choose another one.")
        return request.zone_id
    addressed = [zone for zone in zones if request.gateway_zone in (zone.zone_name, *zone.former_names)]
    return (addressed or list(zones))[0].zone_id


def wanted_of(launch: Launch, files: tuple[File, ...]) -> WantedSession:
    """The session to find; a container made for this launch gets `files`, and what a staged one never has."""
    facts, image, request = launch.facts, launch.image, launch.request
    permissions = permissions_of(facts.settings)
    extras = _extras_of(launch, files)
    return WantedSession(
        user=SessionUser(
            user_id=request.user_id,
            launch_id=launch.launch_id,
            clocks=clocks_of(facts.settings, image.session_time_limit, image.friendly_name),
            kasm_url=request.kasm_url,
            client_settings=client_settings_of(facts.settings),
            idempotency_key=request.idempotency_key,
            idempotency_body=request.body() if request.idempotency_key else None,
        ),
        image=image,
        permissions=permissions,
        assignment=_assignment_of(launch),
        request=session_of(image),
        spec_in=lambda zone: partial(on_demand_spec, image, zone.facts, permissions, extras),
        remark=facts.missing_profile() or "",
        keeps_room=True,
    )


def _assignment_of(launch: Launch) -> Assignment:
    """`assign` of the workspace with the user's identity as its variables."""
    command = command_of(launch.image.exec_config, "assign")
    if command is None:
        return Assignment(assignment_id="")
    identity = {"KASM_USER": launch.username, "KASM_USER_ID": launch.request.user_id}
    url = {"KASM_URL": launch.request.kasm_url} if launch.request.kasm_url else {}
    return Assignment(
        assignment_id="",
        argv=list(command.argv),
        user=command.user,
        env={**command.environment, **identity, **url},
        workdir=command.workdir,
    )


def _extras_of(launch: Launch, files: tuple[File, ...]) -> LaunchExtras:
    facts, request = launch.facts, launch.request
    mode: ProfileMode = "Reset" if request.persistent_profile_mode == "Reset" else "Enabled"
    return LaunchExtras(
        request_host=request.request_host,
        username=launch.username,
        user_id=request.user_id,
        environment=request.environment,
        kasm_url=request.kasm_url,
        language=facts.language,
        timezone=facts.timezone,
        expose_user=bool(facts.value("expose_user_environment_vars")),
        run_config=facts.value("run_config"),
        volume_mapping=facts.value("volume_mapping"),
        filter_policy=facts.value("web_filter_policy") or None,
        profile=mode if facts.profile_is_applied() else None,
        files=files,
    )
