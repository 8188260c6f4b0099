"""One transaction for every change after which users may do less: of users, groups, workspaces of groups and settings.

The transaction compares what users may do before and after the change, and ends what they may no longer do
(`core.access.lifecycle`). So it does not matter who makes the change: a route, a rule of a sign-on provider, a
directory. Code that disables, locks or deletes a user, or changes a group, uses `access_transaction` or a function
below it, and never another transaction.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from greenroom.api.diagnostics.audit import CallerChange
from greenroom.core.access.lifecycle import Cause, UserAccess, causes
from greenroom.core.errors import Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db.access import api_keys, credentials, users
from greenroom.db.access import lifecycle as statements
from greenroom.db.access.credentials import ListedLogin
from greenroom.db.access.lifecycle import EndedAccess
from greenroom.db.access.users import User
from greenroom.db.database import NOTIFY, Connection, Database, event_texts
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease import leases
from greenroom.db.session.shares import DisallowedShare, end_disallowed_shares, find_disallowed_shares


@dataclass(slots=True)
class AccessChange:
    """A transaction that may reduce access. `keep` is the hash of the cookie of a log-in that continues."""

    connection: Connection
    keep: bytes | None = None
    ended_shares: list[DisallowedShare] = field(default_factory=list[DisallowedShare])
    _before: dict[str, UserAccess] = field(default_factory=dict[str, UserAccess])
    _refused_before: set[str] = field(default_factory=set[str])
    _causes: dict[str, set[Cause]] = field(default_factory=dict[str, set[Cause]])
    _deleted: set[str] = field(default_factory=set[str])
    _limited: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The users whose leases must be limited → the API keys of each."""
    _everyone: bool = False
    _had_administrator: bool = False

    async def lock_user(self, user_id: str) -> User:
        """Lock a user before the first change of the user, and return the user. Raises NotFound: no such user."""
        user = await users.lock_user(self.connection, user_id)
        await self.watch([user_id])
        return user

    async def watch(self, user_ids: Iterable[str]) -> None:
        """Compare these users. The caller has locked them, and has not changed them yet."""
        new = [user_id for user_id in user_ids if user_id not in self._before]
        if new and not self._everyone:
            self._before |= await statements.read_access(self.connection, new)
            self._refused_before |= await statements.read_refused_sessions(self.connection, new)

    async def watch_everyone(self) -> None:
        """Compare all users who have a session, for a change of groups or settings."""
        self._everyone = True
        self._had_administrator = await users.has_administrator(self.connection)
        self._before = await statements.read_access(self.connection, None)
        self._refused_before = await statements.read_refused_sessions(self.connection, None)

    def log_out(self, user: User) -> None:
        """Close the streams of a locked user, whose log-ins the caller ends."""
        self._causes.setdefault(user.user_id, set()).add(Cause.LOGGED_OUT)

    async def delete(self, user: User) -> None:
        """Delete a locked user, with all sessions."""
        self._causes.setdefault(user.user_id, set()).add(Cause.DELETED)
        self._deleted.add(user.user_id)
        await api_keys.lock_keys_of(self.connection, user.user_id)
        await users.update_user(self.connection, replace(user, disabled=True))

    async def limit_leases(self, user: User) -> None:
        """Apply a changed end of a locked service account to the leases of its keys, after the lock of all sessions."""
        self._limited[user.user_id] = await api_keys.lock_keys_of(self.connection, user.user_id)

    async def finish(self) -> EndedAccess:
        """End what users may no longer do. Raises Refused: no administrator would remain."""
        connection, ids = self.connection, None if self._everyone else list(self._before)
        after = await statements.read_access(connection, list(self._before))
        for user_id, before in self._before.items():
            if user_id in after and (found := causes(before, after[user_id])):  # an anonymous user can be deleted
                self._causes.setdefault(user_id, set()).update(found)
        if self._causes:
            await statements.begin_loss(connection, self._causes)
        if self._loses_administrator(after) and not await users.has_administrator(connection):
            raise Refused("The change would leave no administrator. Make another user an administrator first.")
        refused = await statements.read_refused_sessions(connection, ids) - self._refused_before
        shares = await find_disallowed_shares(connection)
        limited = [each for user_id in self._limited for each in await leases.sessions_of_owner(connection, user_id)]
        if not (self._causes or refused or shares or limited):
            return EndedAccess(sessions=[], events=set())
        ended = await statements.end_access(
            connection,
            self._causes,
            {user_id: access.username for user_id, access in self._before.items()},
            refused=refused,
            also_locked={*limited, *(share.session_id for share in shares)},
            keep=self.keep,
        )
        self.ended_shares, events = await end_disallowed_shares(connection, shares)
        for key_id in itertools.chain.from_iterable(self._limited.values()):
            await leases.limit_leases_of_key(connection, await api_keys.lock_key(connection, key_id))
        for user_id in sorted(self._deleted):
            await users.delete_user_row(connection, user_id)
        return replace(ended, events=ended.events | events)

    def _loses_administrator(self, after: Mapping[str, UserAccess]) -> bool:
        """True if the change may have removed an administrator."""
        return self._had_administrator or any(
            before.is_administrator and not (user_id in after and after[user_id].is_administrator)
            for user_id, before in self._before.items()
        )


@asynccontextmanager
async def access_transaction(
    db: Database, logs: LogWriter, *, everyone: bool = False, keep: bytes | None = None
) -> AsyncGenerator[AccessChange]:
    """Yield a transaction for a change of users. The caller locks them with `lock_user`.

    With `everyone`, it is for a change of groups, their workspaces or the settings. Before the commit, it ends what
    users may no longer do; after the commit, it writes a log row about each session and share that ends. The commit
    sends the events, so Agents close the streams even if this process is killed directly afterwards. `keep` is the hash
    of the cookie of a log-in that continues. Raises Refused: no administrator would remain.
    """
    async with db.transaction() as connection:
        await statements.lock_access(connection, alone=everyone)
        access = AccessChange(connection, keep)
        if everyone:
            await access.watch_everyone()
        yield access
        ended = await access.finish()
        await connection.execute(NOTIFY, {"events": event_texts({ChangeEvent(Topic.USERS), *ended.events})})
    for session in ended.sessions:
        log_end(logs, session.session_id, session.reason)
    for share in access.ended_shares:
        message = f"the share {share.share_id} of session {share.session_id} is over: {share.reason}"
        logs.write(LogCode.SHARE_ENDED, message, session_id=share.session_id, urgent=True)


def log_end(logs: LogWriter, session_id: str, reason: str) -> None:
    """Write the log row of a session that ends for this reason."""
    logs.write(LogCode.SESSION_DELETE_REQUESTED, f"The session {session_id} ends: {reason}", session_id=session_id)


async def end_login(db: Database, logs: LogWriter, user_id: str, login_id: str) -> ListedLogin:
    """End one log-in of a user, and return it.

    All streams of the user are closed, because a stream is not linked to a log-in. Raises NotFound: there is no such
    user or log-in.
    """
    async with access_transaction(db, logs) as access:
        user = await access.lock_user(user_id)
        ended = await credentials.delete_login_by_id(access.connection, user_id, login_id)
        access.log_out(user)
    return ended


async def delete_user(change: CallerChange, user_id: str, *, force: bool) -> User:
    """Delete a user, and return the user. The API keys and webhooks of the user are disabled.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller.
        Refused: the user has sessions, and `force` is not set; or no administrator would remain.
    """
    async with access_transaction(change.db, change.logs) as access:
        user = await access.lock_user(user_id)
        change.caller.require_right_over(user.permissions)
        number = await users.count_live_sessions(access.connection, user_id)
        if number and not force:
            count = "1 session" if number == 1 else f"{number} sessions"
            raise Refused(
                f"{user.username} still has {count}. Delete the sessions first, or delete the user with force."
            )
        await access.delete(user)
        if user.break_glass:
            await users.require_a_break_glass_account(access.connection)
    return user
