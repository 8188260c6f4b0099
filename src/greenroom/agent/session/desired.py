"""The desired state of this Agent: the desired list, its generations, and the specifications in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from greenroom.agent.concurrency import Signal
from greenroom.agent.session.journal import Journal, TermRecord
from greenroom.agent.session.outbox import Outbox
from greenroom.core.errors import Unexpected
from greenroom.core.log_codes import LogCode
from greenroom.core.session.reconcile import DesiredContainer, is_applicable, merge
from greenroom.core.session.states import Want
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.kit.concurrency import convert_item_error
from greenroom.wire.messages import Answer, Desired, digest

MAX_KNOWN_GENERATIONS: Final = 10_000
"""The maximum number of stored generations. The Agent keeps the generation of a removed session, so that a late answer
does not restore the session."""


@dataclass(frozen=True, kw_only=True)
class ListChange:
    """A change of the desired list. `is_first`: the list is the first since the start, or of another database."""

    before: Mapping[str, Desired]
    now: Mapping[str, Desired]
    is_first: bool = False

    @cached_property
    def changed(self) -> list[Desired]:
        """The new and changed entries."""
        return [desired for session_id, desired in self.now.items() if self.before.get(session_id) is not desired]

    @cached_property
    def removed(self) -> list[str]:
        """The sessions that are not in the list any more."""
        return [session_id for session_id in self.before if session_id not in self.now]

    @property
    def with_changed_viewers(self) -> list[str]:
        """The sessions whose permitted viewers changed, including removed sessions."""
        changed = [
            d.session_id for d in self.changed if d.want == "absent" or d.authorised != self._authorised_before(d)
        ]
        return changed + self.removed

    @property
    def assigned(self) -> list[str]:
        """The staged sessions that this change assigned to a user."""
        return [d.session_id for d in self.changed if d.assignment is not None and not self._assigned_before(d)]

    def _assigned_before(self, desired: Desired) -> bool:
        before = self.before.get(desired.session_id)
        return before is not None and before.assignment is not None

    def _authorised_before(self, desired: Desired) -> object:
        before = self.before.get(desired.session_id)
        return before.authorised if before else None


class DesiredSessions:
    """The desired list with its generations and specifications. The open `journal` stores the highest term."""

    def __init__(self, journal: Journal, outbox: Outbox) -> None:
        self._journal = journal
        self._outbox = outbox
        self._known_generations: dict[str, int] = {}
        """session_id → the highest known generation, also of sessions that were removed (`MAX_KNOWN_GENERATIONS`)."""
        self._digest: str | None = None
        """The digest of `entries`; None = it was not computed yet."""
        self._specs: dict[str, SessionSpec] = {}
        self._hashes: dict[str, str] = {}
        self.entries: Mapping[str, Desired] = {}
        self.ids_to_destroy: frozenset[str] = frozenset()
        """The sessions that are not in the list and whose containers must be removed."""
        self.is_known = False
        """True if a complete list arrived since the start."""
        self.database = ""
        """The database of the list (`db_epoch`)."""
        self.changed = Signal[ListChange]()

    @property
    def highest_term(self) -> int:
        """The highest known term, including terms that earlier processes of this Agent received."""
        term = self._journal.state.term
        return term.term if term else 0

    @property
    def digest(self) -> str:
        if self._digest is None:
            self._digest = digest(
                {session_id: desired.generation for session_id, desired in self._valid_entries.items()}
            )
        return self._digest

    @property
    def _valid_entries(self) -> Mapping[str, Desired]:
        """The entries to which the next changes apply; empty before the first list of a database."""
        return self.entries if self.is_known else {}

    def accept(self, answer: Answer) -> bool:
        """Apply an answer. Return False if it is ignored because it is not fresh or has an earlier term."""
        if not is_applicable(answer.term, self.highest_term, answer.fresh):
            return False
        if answer.term > self.highest_term:
            self._journal.append(TermRecord(term=answer.term, db_epoch=answer.db_epoch))
        if answer.desired is not None:
            self.database = answer.db_epoch
            self._replace_entries(answer.desired, kept={})
        elif answer.changes is not None and answer.changes.since == self.digest:
            removed = frozenset(answer.changes.left)
            self._replace_entries(
                answer.changes.changed, kept={k: entry for k, entry in self._valid_entries.items() if k not in removed}
            )
        if answer.verdicts:
            self.ids_to_destroy = frozenset(k for k, verdict in answer.verdicts.items() if verdict == "destroy")
        return True

    def _replace_entries(self, entries: list[Desired], *, kept: Mapping[str, Desired]) -> None:
        before = self.entries
        self.entries, self._known_generations = merge(self._valid_entries, entries, self._known_generations, kept=kept)
        if (surplus := len(self._known_generations) - MAX_KNOWN_GENERATIONS) > 0:
            known = enumerate(self._known_generations.items())
            self._known_generations = {k: g for n, (k, g) in known if n >= surplus or k in self.entries}
        is_first, self.is_known = not self.is_known, True
        self._publish(ListChange(before=before, now=self.entries, is_first=is_first))

    def invalidate(self) -> None:
        """Invalidate the list, because the database was restored from a backup or replaced by its standby. The highest
        term stays valid. The old list admits viewers until the new list arrives. Viewers that the new list does not
        permit are then disconnected, for example guests whose share exists only in the old database."""
        self._known_generations, self.ids_to_destroy, self.is_known, self._digest = {}, frozenset(), False, None

    def join_installation(self, db_epoch: str) -> None:
        """Remove all entries, because the Agent joined another installation, whose terms start again at zero."""
        self.invalidate()
        before, self.entries = self.entries, dict[str, Desired]()
        self._publish(ListChange(before=before, now=self.entries))
        self._journal.append(TermRecord(term=0, db_epoch=db_epoch))

    def _publish(self, change: ListChange) -> None:
        self._digest = None
        for desired in change.changed:
            if desired.spec is not None:
                self._decode(desired.session_id, desired.spec)
        for session_id in change.removed:
            self._specs.pop(session_id, None)
            self._hashes.pop(session_id, None)
        self.changed.emit(change)

    def _decode(self, session_id: str, spec: dict[str, object]) -> None:
        try:
            with convert_item_error("session", session_id):
                decoded = msgspec.convert(spec, SessionSpec)
                self._specs[session_id], self._hashes[session_id] = decoded, decoded.hash()
        except Unexpected as error:
            sentence = f"The specification of a session cannot be used: {error.message}"
            self._outbox.log_line(LogCode.AGENT_SPEC, sentence, session_id)

    # Read access --------------------------------------------------------------------------------------------------

    def get(self, session_id: str) -> Desired | None:
        return self.entries.get(session_id)

    def spec(self, session_id: str) -> SessionSpec | None:
        return self._specs.get(session_id)

    def has_user(self, session_id: str) -> bool:
        """Return True if the session has a user; False for a staged session."""
        desired = self.entries.get(session_id)
        return desired is not None and desired.authorised is not None

    def desired_container(self, desired: Desired) -> DesiredContainer:
        return DesiredContainer(
            session_id=desired.session_id,
            generation=desired.generation,
            want=Want(desired.want),
            spec_hash=self._hashes.get(desired.session_id) if desired.spec is not None else None,
            assignment_id=desired.assignment.assignment_id if desired.assignment else None,
            has_run=desired.has_run,
        )
