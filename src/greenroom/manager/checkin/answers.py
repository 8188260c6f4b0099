"""Put an answer to a check-in together from one reading of the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec
import structlog

from greenroom.core.errors import SetupError
from greenroom.core.masking import shown
from greenroom.core.session.observations import Verdict
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Database
from greenroom.db.fleet import checkin
from greenroom.db.fleet.managers import ManagerRow
from greenroom.db.workspace.filter_policies import policy_of
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.wire.messages import (
    Answer,
    Assignment,
    Authorised,
    CheckIn,
    Command,
    Desired,
    DesiredImage,
    ManagerAddress,
    PictureSize,
    digest,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything an answer depends on, as `db.fleet.checkin.read_state` gives it."""

    incarnation: int
    seq: int
    complete: bool
    credential_hash: bytes
    agent_zone_id: str | None
    capacity: tuple[float, int]
    heard: tuple[str | None, int]
    """The Manager and the term the Agent was last recorded with."""
    enabled: bool
    zone_id: str
    term: int
    primary_id: str | None
    db_epoch: str
    generations: dict[str, int]
    command_ids: frozenset[str]
    images_digest: str
    filter_policies_digest: str
    managers: list[dict[str, str]]
    fresh: bool = True

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> State:
        """From the row; of an Agent that does not exist the credential is one that nothing hashes to."""
        return cls(
            incarnation=row["incarnation"] or 0,
            seq=row["seq"] or 0,
            complete=bool(row["complete"]),
            credential_hash=bytes(row["credential_hash"] or b""),
            agent_zone_id=row["agent_zone_id"],
            capacity=(row["cores_reported"] or 0.0, row["memory_reported"] or 0),
            heard=(row["heard_manager_id"], row["manager_term"] or 0),
            enabled=row["enabled"],
            zone_id=row["zone_id"],
            term=row["term"],
            primary_id=row["primary_id"],
            db_epoch=row["db_epoch"],
            generations=row["generations"],
            command_ids=frozenset(row["command_ids"]),
            images_digest=row["images_digest"],
            filter_policies_digest=row["filter_policies_digest"],
            managers=row["managers"],
        )

    def stale(self) -> State:
        """The same, no longer fresh."""
        return replace(self, fresh=False)


def managers(state: State) -> list[ManagerAddress]:
    """The enabled Managers of the zone, Primary first."""
    return [ManagerAddress(instance_id=m["instance_id"], url=m["url"]) for m in state.managers]


def no_news(state: State, me: ManagerRow, config: ManagerConfig) -> Answer:
    """An answer that changes nothing."""
    primary = [m["instance_id"] for m in state.managers if m["manager_id"] == state.primary_id]
    return Answer(
        db_epoch=state.db_epoch,
        zone_id=state.zone_id,
        term=state.term,
        primary=primary[0] if primary else None,
        answered_by=me.instance_id,
        fresh=state.fresh,
        acked_seq=state.seq,
        managers=managers(state),
        hold_s=config.checkin_hold_s,
    )


ORDERED: Final = frozenset(
    {
        SessionStatus.REQUESTED,
        SessionStatus.ASSIGNING,
        SessionStatus.STOPPING,
        SessionStatus.PAUSING,
        SessionStatus.DELETING,
    }
)
"""Statuses in which something was just ordered of the Agent, so that the age of the status is that of the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Something an answer tells the Agent to do: `key` and, of a session, its generation; `age_s` since it was said."""

    kind: Literal["session", "command"]
    key: str
    generation: int
    age_s: float


async def make(
    *,
    db: Database,
    me: ManagerRow,
    config: ManagerConfig,
    secrets: Secrets,
    message: CheckIn,
    state: State,
    images_told: str,
) -> tuple[Answer, list[Instruction]]:
    """The answer for this state: the whole desired list where the Agent's differs, images and commands if any.

    Returns:
        The answer, and the instructions in it.

    Raises:
        Unavailable: the database cannot be reached.
    """
    desired = images = None
    listed = list[dict[str, Any]]()
    if message.full or digest(state.generations) != message.have_digest:
        listed = await checkin.read_desired(db, message.agent_id)
        desired = [_desired(row, secrets) for row in listed]
    if state.images_digest != images_told:
        images = [_image(row, secrets) for row in await checkin.read_images(db, message.agent_id, state.zone_id)]
    ordered = await checkin.read_commands(db, message.agent_id) if state.command_ids else []
    commands = [command for row in ordered if (command := _command(row, secrets)) is not None]
    answer = msgspec.structs.replace(no_news(state, me, config), desired=desired, images=images, commands=commands)
    if filter_policies_differ(message, state):
        answer = await _with_filter_policies(answer, db, state)
    return answer, _instructions(listed, ordered)


def _instructions(listed: list[dict[str, Any]], ordered: list[dict[str, Any]]) -> list[Instruction]:
    sessions = [
        Instruction(kind="session", key=row["session_id"], generation=row["generation"], age_s=row["age_s"])
        for row in listed
        if row["status"] in ORDERED
    ]
    commands = [Instruction(kind="command", key=row["command_id"], generation=0, age_s=row["age_s"]) for row in ordered]
    return sessions + commands


def filter_policies_differ(message: CheckIn, state: State) -> bool:
    """Whether the Agent holds other web filter policies than there are; one that knows of none is not told."""
    return message.have_filter_policies not in {None, state.filter_policies_digest}


async def _with_filter_policies(answer: Answer, db: Database, state: State) -> Answer:
    policies = [policy_of(row) for row in await checkin.read_filter_policies(db)]
    return msgspec.structs.replace(
        answer, filter_policies=policies, filter_policies_digest=state.filter_policies_digest
    )


def with_verdicts(answer: Answer, verdicts: dict[str, Verdict]) -> Answer:
    """The answer with verdicts on containers no desired session accounts for."""
    return msgspec.structs.replace(answer, verdicts=verdicts)


def _desired(row: Mapping[str, Any], secrets: Secrets) -> Desired:
    return Desired(
        session_id=row["session_id"],
        generation=row["generation"],
        want=row["want"],
        spec=None if row["want"] == "absent" else _spec(row, secrets),
        assignment=_assignment(row, secrets) if row["assignment"] else None,
        authorised=_authorised(row) if row["user_id"] else None,
    )


def _assignment(row: Mapping[str, Any], secrets: Secrets) -> Assignment | None:
    """None where its variables cannot be read: as `_spec`."""
    stored = row["assignment"]
    try:
        return msgspec.convert(stored | {"env": _opened(stored.get("env", {}), secrets)}, Assignment)
    except SetupError as error:
        log.error("the assignment of a session cannot be read", session_id=row["session_id"], reason=error.message)
        return None


def _opened(env: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    return {name: secrets.opened(value) for name, value in env.items()}


def _spec(row: Mapping[str, Any], secrets: Secrets) -> dict[str, Any] | None:
    """None where it cannot be read: the Agent reports that for this session, and gets all others."""
    try:
        return spec_with_secrets(row, secrets)
    except (SetupError, ValueError) as error:
        log.error("the specification of a session cannot be read", session_id=row["session_id"], reason=str(error))
        return None


def _authorised(row: Mapping[str, Any]) -> Authorised:
    return Authorised(user_id=row["user_id"], epoch=row["auth_epoch"], idle_disconnect_s=row["idle_disconnect_s"])


def spec_with_secrets(row: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """The specification with its secrets, which the Agent needs and the row has encrypted."""
    files = row["files_encrypted"]
    return {
        **shown(row["spec"], secrets.opened, plain=True),
        "credential": secrets.decrypt(row["credential_encrypted"]),
        "files": json.loads(secrets.decrypt(files)) if files else [],
    }


def _image(row: Mapping[str, Any], secrets: Secrets) -> DesiredImage:
    token, password = row["token"], ""
    try:
        password = secrets.decrypt(token) if token else ""
    except SetupError as error:  # the registry refuses this image then; all others are there
        log.error("the registry token of an image cannot be read", image=row["name"], reason=error.message)
    return DesiredImage(
        name=row["name"],
        registry=row["docker_registry"],
        user=row["docker_user"],
        password=password,
        password_withheld=row["has_token"] and token is None,
    )


def _command(row: Mapping[str, Any], secrets: Secrets) -> Command | None:
    """None where its variables cannot be read: who ordered it waits in vain, all others do not."""
    try:
        env = _opened(row["env"], secrets)
    except SetupError as error:
        log.error("a command cannot be read", command_id=row["command_id"], reason=error.message)
        return None
    return Command(
        command_id=row["command_id"],
        session_id=row["session_id"],
        generation=row["generation"],
        argv=row["argv"],
        user=row["run_as"],
        env=env,
        workdir=row["workdir"],
        deadline_s=row["deadline_s"],
        screenshot=msgspec.convert(row["screenshot"], PictureSize) if row["screenshot"] else None,
    )
