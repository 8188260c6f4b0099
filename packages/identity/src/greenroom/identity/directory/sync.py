"""The synchronization of users with their directories: groups and fields follow the directory, and users who have left
the directory are disabled.

Only users without a password at Greenroom are changed. A synchronization first reads all users, and changes nothing if
a search fails, or if it would disable too many users, because an error of a directory looks like the departure of its
users. A disabled user stays disabled until an administrator enables the user.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import structlog

from greenroom.api.access.lifecycle import access_transaction
from greenroom.core.errors import GreenroomError, NotFound, Refused
from greenroom.core.log_codes import LogCode
from greenroom.core.text import counted
from greenroom.db.access import users
from greenroom.identity import accounts, rules
from greenroom.identity.context import SignOnContext, context_of
from greenroom.identity.directory import search, statements
from greenroom.identity.directory.client import DirectoryFailed, DirectoryHealth, Query
from greenroom.identity.directory.directories import client_of
from greenroom.identity.directory.login import ConfirmedEntry
from greenroom.identity.directory.search import DirectoryUser
from greenroom.identity.directory.statements import Directory, SyncedUser
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.kit.concurrency import log_item_error

log = structlog.get_logger(__name__)

POLL_S: Final = 15.0
"""The time between two searches for due directories."""
REQUEST_S: Final = 60.0
"""The maximum time of one search."""
RETRY_S: Final = 300.0
"""The longest time until a failed synchronization is repeated."""
MAX_DISABLED: Final = 5
MAX_DISABLED_SHARE: Final = 0.2
"""A synchronization that would disable more than `MAX_DISABLED` users and more than this share of all users stops."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """The changes of a synchronization. `disabled`: user → reason as a sentence. `missing`: users who are missing from
    now on. `problem`: why it stops if it is not forced, as a sentence; empty = it does not stop."""

    present: list[tuple[SyncedUser, DirectoryUser]] = field(default_factory=list[tuple[SyncedUser, DirectoryUser]])
    disabled: list[tuple[SyncedUser, str]] = field(default_factory=list[tuple[SyncedUser, str]])
    missing: list[SyncedUser] = field(default_factory=list[SyncedUser])
    problem: str = ""

    @property
    def numbers(self) -> dict[str, int]:
        return {"present": len(self.present), "disabled": len(self.disabled), "missing": len(self.missing)}


def sync_plan(synced: Sequence[SyncedUser], found: Mapping[str, DirectoryUser], *, grace_s: float) -> SyncPlan:
    """Return the changes for the users of a directory. `found`: subject → user in the directory; `grace_s`: the time
    for which a user may be missing. The plan has a problem if the directory has none of the users, or if too many users
    would be disabled."""
    plan = SyncPlan()
    for user in synced:
        entry = found.get(user.subject)
        if entry is not None and entry.is_disabled:
            plan.disabled.append((user, f"{entry.dn} is disabled in the directory."))
        elif entry is not None:
            plan.present.append((user, entry))
        elif (user.missing_s or 0.0) >= grace_s:
            plan.disabled.append((user, "The directory no longer has the user."))
        else:
            plan.missing.append(user)
    number = len(plan.disabled)
    if synced and not found:
        return replace(plan, problem=f"The directory has none of the {len(synced)} users.")
    if number > max(MAX_DISABLED, MAX_DISABLED_SHARE * len(synced)):
        return replace(plan, problem=f"{number} of {len(synced)} users would be disabled.")
    return plan


async def synchronize_directories(state: Any) -> None:
    """Synchronize due directories every `POLL_S`, forever. Of several processes, one takes a due directory."""
    context = context_of(state)
    while True:
        await asyncio.sleep(POLL_S)
        try:
            while (directory := await statements.take_due_directory(context.db)) is not None:
                await _synchronize_due(context, directory)
        except GreenroomError as error:
            log.warning("directories are not synchronized", reason=error.message)


async def _synchronize_due(context: SignOnContext, directory: Directory) -> None:
    problems: list[str] = []
    with log_item_error("directory", directory.title, problems.append):
        try:
            await synchronize(context, directory)
        except DirectoryFailed as error:
            message = f"The synchronization of {directory.title} stopped, and changed no user: {error}"
            context.logs.write(LogCode.DIRECTORY_SYNC_STOPPED, message)
    for stopped in problems:
        await _record_problem(context, directory, stopped)
        message = f"The synchronization of {directory.title} stopped: {stopped}"
        context.logs.write(LogCode.DIRECTORY_SYNC_STOPPED, message)


async def _record_problem(context: SignOnContext, directory: Directory, problem: str) -> None:
    await statements.record_sync(context.db, directory, min(directory.sync_s, RETRY_S), problem=problem)


async def plan_synchronization(context: SignOnContext, directory: Directory) -> SyncPlan:
    """Return the changes that a synchronization would make now. Raises DirectoryFailed: a search failed."""
    synced = await statements.synced_users(context.db, directory.issuer)
    return sync_plan(synced, await _found(context, directory, synced), grace_s=directory.grace_s)


async def synchronize(context: SignOnContext, directory: Directory, *, forced: bool = False) -> SyncPlan:
    """Synchronize the users of a directory, and return the changes. Raises DirectoryFailed: a search failed, or the
    plan has a problem and is not `forced`; no user was changed."""
    try:
        plan = await plan_synchronization(context, directory)
        if plan.problem and not forced:
            raise DirectoryFailed("answer", plan.problem)
        uses_groups = any(rule.claim.lower() == search.GROUPS for rule in directory.rules)
        present = [
            (user, await _with_groups(context, directory, entry) if uses_groups else entry)
            for user, entry in plan.present
        ]
    except DirectoryFailed as error:
        await _record_problem(context, directory, str(error))
        raise
    failed: dict[str, str] = {}
    for user, reason in plan.disabled:
        with log_item_error("user", user.username, partial(failed.__setitem__, user.username)):
            await _disable(context, directory, user, reason)
    for user, entry in present:
        with log_item_error("user", user.username, partial(failed.__setitem__, user.username)):
            await _update(context, directory, user, entry)
    await statements.record_missing(context.db, directory.issuer, [user.identity_id for user in plan.missing])
    if not failed:
        await statements.record_sync(context.db, directory, directory.sync_s, problem="")
        return plan
    username, reason = next(iter(failed.items()))
    unchanged = f"{counted(len(failed), 'user')} could not be changed. {username}: {reason}"
    await _record_problem(context, directory, unchanged)
    context.logs.write(
        LogCode.DIRECTORY_SYNC_STOPPED, f"The synchronization of {directory.title} is incomplete: {unchanged}"
    )
    return plan


async def _found(
    context: SignOnContext, directory: Directory, synced: Sequence[SyncedUser]
) -> dict[str, DirectoryUser]:
    """Return subject → user of the users who are in the directory."""
    found: dict[str, DirectoryUser] = {}
    health = DirectoryHealth(lambda _: None)
    for start in range(0, len(synced), search.BATCH_SIZE):
        subjects = [user.subject for user in synced[start : start + search.BATCH_SIZE]]
        client = client_of(context, directory, health=health, deadline_s=time.monotonic() + REQUEST_S)
        text = search.subject_filter(directory, subjects)
        answer = await client.search(Query(directory.user_base, text, search.user_attributes(directory)))
        if not answer.is_complete:
            raise DirectoryFailed("answer", "The directory did not return all users.")
        entries = [search.read_user(directory, entry) for entry in answer.entries]
        found |= {entry.subject: entry for entry in entries}
    return found


async def _with_groups(context: SignOnContext, directory: Directory, entry: DirectoryUser) -> DirectoryUser:
    client = client_of(
        context, directory, health=DirectoryHealth(lambda _: None), deadline_s=time.monotonic() + REQUEST_S
    )
    return await search.with_groups(client, directory, entry)


async def _disable(context: SignOnContext, directory: Directory, user: SyncedUser, reason: str) -> None:
    """Disable a user, and end everything that the user has open."""
    try:
        async with access_transaction(context.db, context.logs) as access:
            if not await statements.lock_unchanged_directory(access.connection, directory):
                return
            current = await access.lock_user(user.user_id)
            if current.password_hash is not None or current.disabled:
                return  # it was changed meanwhile
            await users.update_user(access.connection, replace(current, disabled=True))
    except NotFound:
        return  # the user was deleted meanwhile
    message = f"The synchronization of {directory.title} disabled {user.username}: {reason}"
    details = {"before": {"disabled": False}, "after": {"disabled": True}}
    context.logs.write(
        LogCode.USER_CHANGED, message, details=details, urgent=True, user_id=user.user_id, username=user.username
    )


async def _update(context: SignOnContext, directory: Directory, user: SyncedUser, entry: DirectoryUser) -> None:
    """Apply the rules and attributes of the directory to a user."""
    confirmed = ConfirmedEntry.of(directory, entry)
    rule_result = await asyncio.to_thread(rules.evaluate_rules, confirmed.provider.rules, confirmed.claims)
    try:
        async with access_transaction(context.db, context.logs) as access:
            if not await statements.lock_unchanged_directory(access.connection, directory):
                return
            before = await access.lock_user(user.user_id)
            if before.password_hash is not None or before.disabled:
                return  # it was changed meanwhile
            after = await accounts.apply_claims(access.connection, confirmed, before, rule_result)
    except NotFound:
        return  # the user was deleted meanwhile
    except Refused as error:
        raise SignOnRefused(Refusal.LAST_ADMINISTRATOR, error.message) from error
    accounts.log_group_changes(context.logs, directory.title, before, after)
