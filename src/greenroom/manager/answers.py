"""Put an answer to a check-in together from one reading of the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from greenroom.core.checkin import Verdict
from greenroom.db import checkin as sql
from greenroom.db.database import Database
from greenroom.db.managers import ManagerRow
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
    digest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything an answer depends on, as `db.checkin.read_state` gives it."""

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


async def make(
    *,
    db: Database,
    me: ManagerRow,
    config: ManagerConfig,
    secrets: Secrets,
    message: CheckIn,
    state: State,
    images_told: str,
) -> Answer:
    """The answer for this state: the whole desired list where the Agent's differs, images and commands if any.

    Raises:
        Unavailable: the database cannot be reached.
    """
    desired = images = None
    if message.full or digest(state.generations) != message.have_digest:
        desired = [_desired(row, secrets) for row in await sql.read_desired(db, message.agent_id)]
    if state.images_digest != images_told:
        images = [_image(row, secrets) for row in await sql.read_images(db, state.zone_id)]
    commands = [_command(row) for row in await sql.read_commands(db, message.agent_id)] if state.command_ids else []
    return msgspec.structs.replace(no_news(state, me, config), desired=desired, images=images, commands=commands)


def with_verdicts(answer: Answer, verdicts: dict[str, Verdict]) -> Answer:
    """The answer with verdicts on containers no desired session accounts for."""
    return msgspec.structs.replace(answer, verdicts=verdicts)


def _desired(row: Mapping[str, Any], secrets: Secrets) -> Desired:
    absent = row["want"] == "absent"
    spec = None if absent else {**row["spec"], "credential": secrets.decrypt(row["credential_encrypted"])}
    return Desired(
        session_id=row["session_id"],
        generation=row["generation"],
        want=row["want"],
        spec=spec,
        assignment=msgspec.convert(row["assignment"], Assignment) if row["assignment"] else None,
        authorised=Authorised(user_id=row["user_id"], epoch=row["auth_epoch"]) if row["user_id"] else None,
    )


def _image(row: Mapping[str, Any], secrets: Secrets) -> DesiredImage:
    token = row["docker_token_encrypted"]
    return DesiredImage(
        name=row["name"],
        registry=row["docker_registry"],
        user=row["docker_user"],
        password=secrets.decrypt(token) if token else "",
    )


def _command(row: Mapping[str, Any]) -> Command:
    return Command(
        command_id=row["command_id"],
        session_id=row["session_id"],
        generation=row["generation"],
        argv=row["argv"],
        user=row["run_as"],
        env=row["env"],
        workdir=row["workdir"],
        deadline_s=row["deadline_s"],
    )
