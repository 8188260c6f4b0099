"""Creates the answer to a check-in from one reading of the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.masking import unseal_variables
from greenroom.core.named_secrets import PLACEHOLDER, FilterSecret
from greenroom.core.session.authorization import TABLE, Act
from greenroom.core.session.reconcile import difference
from greenroom.core.session.states import SessionStatus, Want
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.page import spec_with_tokens_replaced, token_values
from greenroom.core.workspace.session_spec import PROXY_PATH, StoredSpec
from greenroom.core.workspace.spec_builder import permissions_in_environment
from greenroom.db.fleet import checkin
from greenroom.db.fleet.checkin import (
    CheckInState,
    CommandToBegin,
    DesiredSession,
    RegistryImage,
    WireJson,
    ZoneState,
)
from greenroom.kit.concurrency import CachedReads, convert_item_error
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.manager.status import ManagerContext
from greenroom.wire.fields import HomeRemoval, ScreenshotSize
from greenroom.wire.messages import (
    Answer,
    Assignment,
    Authorised,
    Desired,
    DesiredChanges,
    DesiredImage,
    ManagerAddress,
    SessionCommand,
    digest,
)

log = structlog.get_logger(__name__)


NOT_FRESH_JITTER_S: Final = 1.0
"""The maximum random pause of Agents after an answer that is not fresh, because the database cannot be reached."""


def managers(zone: ZoneState) -> list[ManagerAddress]:
    """Return the enabled Managers of the zone, Primary first."""
    return [ManagerAddress(instance_id=m.instance_id, url=m.url) for m in zone.managers]


NEW_INSTRUCTION_STATUSES: Final = frozenset(
    {
        SessionStatus.REQUESTED,
        SessionStatus.ASSIGNING,
        SessionStatus.STOPPING,
        SessionStatus.PAUSING,
        SessionStatus.DELETING,
    }
)
"""Statuses in which the Agent has just received an instruction, so that the age of the status is the age of the
instruction."""


SHARED_LIST_INTERVAL_S: Final = 1.0
"""The minimum time between two readings of a list that is the same for many Agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingChanges:
    """The kinds of changes that an Agent does not have: of its desired list, its images, the web filter policies, and
    `other`: the term, commands, homes to remove and verdicts, which every answer contains."""

    desired: bool = False
    images: bool = False
    filter_policies: bool = False
    other: bool = False

    @property
    def exist(self) -> bool:
        return self != MissingChanges()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction in an answer. `key` is the id of the session or command. `generation` is 0 for a command. `age_s`
    is the time since the instruction was created."""

    kind: Literal["session", "command"]
    key: str
    generation: int
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAnswer:
    """An answer with its instructions. `generations` is the desired list that the Agent has after the answer (session
    id → generation), and `digest` is the digest of this list."""

    answer: Answer
    instructions: list[Instruction]
    generations: Mapping[str, int]
    digest: str


class Answers:
    """Creates the answers of one Manager. A list that is the same for many Agents is read once for each digest."""

    def __init__(self, shared: ManagerContext) -> None:
        self._me, self._config = shared.me, shared.config
        self._db, self._secrets = shared.agents_db, shared.secrets
        self._images = CachedReads[list[DesiredImage]](SHARED_LIST_INTERVAL_S)
        self._filter_policies = CachedReads[list[FilterPolicy]](SHARED_LIST_INTERVAL_S)

    def unchanged_answer(self, state: CheckInState) -> Answer:
        """Return an answer that changes nothing."""
        zone = state.zone
        primary = [m.instance_id for m in zone.managers if m.manager_id == zone.primary_id]
        return Answer(
            db_epoch=zone.db_epoch,
            zone_id=zone.zone_id,
            term=zone.term,
            primary=primary[0] if primary else None,
            answered_by=self._me.instance_id,
            fresh=state.fresh,
            acked_seq=state.agent.seq,
            managers=managers(zone),
            hold_s=self._config.checkin_hold_s,
            jitter_s=0.0 if state.fresh else NOT_FRESH_JITTER_S,
        )

    async def make(
        self, state: CheckInState, missing: MissingChanges, *, have_digest: str, known_list: Mapping[str, int] | None
    ) -> PreparedAnswer:
        """Create the answer for this state, with the `missing` changes. `have_digest` is the digest of the desired list
        that the Agent has. `known_list` is this list (session id → generation), and the answer contains only its
        changes; None = the answer contains the whole list. Raises Unavailable: the database cannot be reached."""
        db, secrets, agent_id = self._db, self._secrets, state.agent.agent_id
        desired = changes = images = None
        sessions, generations = list[DesiredSession](), state.agent.generations
        list_digest = have_digest
        if missing.desired:
            delta = None if known_list is None else difference(known_list, state.agent.generations)
            if delta is not None or state.agent.generations:
                # Sessions that are not in the newer list are read, too: the Agent must not remove a session that is
                # in the list again since then.
                sessions = await checkin.read_desired(db, agent_id, delta.changed | delta.left if delta else None)
            generations = {session.session_id: session.generation for session in sessions}
            entries = [_desired_entry(session, agent_id, secrets) for session in sessions]
            if known_list is None or delta is None:
                desired = entries
            else:
                removed = (delta.changed | delta.left) - generations.keys()
                changes = DesiredChanges(since=have_digest, changed=entries, left=sorted(removed))
                generations = {**{k: g for k, g in known_list.items() if k not in removed}, **generations}
            list_digest = state.agent.digest if generations == state.agent.generations else digest(generations)
        if missing.images:
            images = await self._images.get(state.agent.images_digest, lambda: self._read_images(agent_id))
        requested = await checkin.read_commands(db, agent_id) if state.agent.command_ids else []
        commands = [readable for command in requested if (readable := _command(command, secrets)) is not None]
        answer = msgspec.structs.replace(
            self.unchanged_answer(state),
            desired=desired,
            changes=changes,
            images=images,
            commands=commands,
            homes_to_remove=msgspec.convert(state.agent.removals, list[HomeRemoval], from_attributes=True),
        )
        if missing.filter_policies:
            answer = msgspec.structs.replace(
                answer,
                filter_policies=await self._filter_policies.get(
                    state.zone.filter_policies_digest, lambda: checkin.read_filter_policies(db)
                ),
                filter_policies_digest=state.zone.filter_policies_digest,
            )
        return PreparedAnswer(
            answer=answer, instructions=_instructions(sessions, requested), generations=generations, digest=list_digest
        )

    async def _read_images(self, agent_id: str) -> list[DesiredImage]:
        return [_image(image, self._secrets) for image in await checkin.read_images(self._db, agent_id)]


def _instructions(desired: list[DesiredSession], requested: list[CommandToBegin]) -> list[Instruction]:
    sessions = [
        Instruction(kind="session", key=session.session_id, generation=session.generation, age_s=session.age_s)
        for session in desired
        if session.status in NEW_INSTRUCTION_STATUSES
    ]
    commands = [
        Instruction(kind="command", key=command.command_id, generation=0, age_s=command.age_s) for command in requested
    ]
    return sessions + commands


def _desired_entry(session: DesiredSession, agent_id: str, secrets: Secrets) -> Desired:
    authorised = None
    if session.user_id is not None:
        settings = session.client_settings
        authorised = Authorised(
            user_id=session.user_id,
            epoch=session.auth_epoch,
            idle_disconnect_s=settings.idle_disconnect * 60,
            max_upload_mb=int(settings.max_upload_mb),
            recorded=settings.record_sessions,
            guests=session.guests,
            **_lease_fields(session, secrets),
        )
    return Desired(
        session_id=session.session_id,
        generation=session.generation,
        want=session.want.value,
        spec=None if session.want is Want.ABSENT else _spec(session, agent_id, secrets),
        assignment=_assignment(session, session.assignment, secrets) if session.assignment else None,
        authorised=authorised,
        secrets=_secrets_of_session(session, secrets),
        has_run=session.has_run,
    )


def _lease_fields(session: DesiredSession, secrets: Secrets) -> dict[str, Any]:
    """Return the credentials and permissions of a session's lease, with which the Agent compares requests. `program`
    is the hash of the program's token, and `api` is the hash of the api's token."""
    lease_id, epoch = session.lease_id, session.lease_epoch
    if lease_id is None or epoch is None:
        return {}
    names = TABLE[Act.DEVTOOLS].session_needs
    return {
        "program": secret_digest(secrets.lease_token(lease_id, epoch)).hex(),
        "program_epoch": epoch,
        "api": secret_digest(secrets.desk_token(lease_id, epoch)).hex(),
        "permitted": [name for name in names if session.permissions.get(name)],
        "must_record": session.must_record,
    }


def _secrets_of_session(session: DesiredSession, secrets: Secrets) -> tuple[FilterSecret, ...]:
    """Return the secrets of the session. A secret that cannot be decrypted is logged and omitted."""
    readable = list[FilterSecret]()
    for stored in session.secrets:
        try:
            with convert_item_error("secret", stored.name):
                value = stored.template.replace(PLACEHOLDER, secrets.decrypt(stored.value_encrypted.encode()))
        except GreenroomError as error:
            log.error("a secret cannot be read", secret=stored.name, reason=error.message)
        else:
            readable.append(FilterSecret(name=stored.name, hosts=stored.hosts, header=stored.header, value=value))
    return tuple(readable)


def _assignment(session: DesiredSession, stored: WireJson, secrets: Secrets) -> Assignment | None:
    """Return the assignment; None if its variables cannot be decrypted."""
    try:
        with convert_item_error("assignment", session.session_id):
            return msgspec.convert(stored | {"env": _decrypted(stored.get("env", {}), secrets)}, Assignment)
    except GreenroomError as error:
        log.error("the assignment of a session cannot be read", session_id=session.session_id, reason=error.message)
        return None


def _decrypted(env: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    return {name: secrets.unseal(value) for name, value in env.items()}


def _spec(session: DesiredSession, agent_id: str, secrets: Secrets) -> StoredSpec | None:
    """Return the specification; None if it cannot be read. The Agent then reports an error for this session only."""
    if session.spec is None:
        return None
    try:
        with convert_item_error("specification", session.session_id):
            spec = spec_with_secrets(session.spec, session.credential_encrypted, session.files_encrypted, secrets)
            placeholders = token_values(
                path=ProxyFacts(proxy_path=spec.get("proxy_path", PROXY_PATH)).path_of(agent_id, session.session_id),
                session_id=session.session_id,
                permissions=permissions_in_environment(spec.get("environment", {})),
                password=spec["credential"],
            )
            return spec_with_tokens_replaced(spec, placeholders)
    except GreenroomError as error:
        log.error("the specification of a session cannot be read", session_id=session.session_id, reason=error.message)
        return None


def spec_with_secrets(
    spec: StoredSpec, credential_encrypted: bytes, files_encrypted: bytes | None, secrets: Secrets
) -> StoredSpec:
    """Return the specification with its secrets, which the row stores encrypted."""
    return {
        **unseal_variables(spec, secrets.unseal, plain=True),
        "credential": secrets.decrypt(credential_encrypted),
        "files": json.loads(secrets.decrypt(files_encrypted)) if files_encrypted else [],
    }


def _image(image: RegistryImage, secrets: Secrets) -> DesiredImage:
    password = ""
    try:
        with convert_item_error("registry token", image.name):
            password = secrets.decrypt(image.token) if image.token else ""
    except GreenroomError as error:  # the registry then refuses this image; all others work
        log.error("the registry token of an image cannot be read", image=image.name, reason=error.message)
    return DesiredImage(
        name=image.name,
        registry=image.docker_registry,
        user=image.docker_user,
        password=password,
        password_withheld=image.has_token and image.token is None,
        pull_policy=image.pull_policy,
        refresh=image.refresh,
    )


def _command(command: CommandToBegin, secrets: Secrets) -> SessionCommand | None:
    """Return the command; None if its variables cannot be decrypted. Only this command then times out."""
    try:
        with convert_item_error("command", command.command_id):
            env = _decrypted(command.env, secrets)
    except GreenroomError as error:
        log.error("a command cannot be read", command_id=command.command_id, reason=error.message)
        return None
    return SessionCommand(
        command_id=command.command_id,
        session_id=command.session_id,
        generation=command.generation,
        argv=command.argv,
        user=command.run_as,
        env=env,
        workdir=command.workdir,
        deadline_s=command.deadline_s,
        screenshot=msgspec.convert(command.screenshot, ScreenshotSize) if command.screenshot else None,
    )
