"""Reads the objects of a deployment as a document, and applies a plan, through `/api/v1`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.configuration.document import Document, referenced
from greenroom.cli.configuration.kinds import KINDS, REFERENCES, SECTION_OF_SETTING, ObjectKind, document_field
from greenroom.cli.configuration.planning import ConfigurationAction, DeployedObject, DeployedObjects, Plan
from greenroom.cli.nouns import NOUNS
from greenroom.core.masking import MASK

SESSIONS_END_S: Final = 60.0
"""Maximum wait until the sessions of a workspace or zone have ended, before its deletion."""
POLL_S: Final = 0.5
UPLOADED: Final = "/api/v1/images/"
"""Beginning of the address of an uploaded picture, which is not part of a document."""

Names = dict[str, dict[str, str]]
"""Section → id → name."""


def read_snapshot(client: Client, *, with_sessions: bool) -> DeployedObjects:
    """Return the objects of the deployment, with its live sessions if the plan can end some. Raises ApiError: the key
    may not see one of the lists."""
    rows = {kind.section: [row for row in client.rows(kind.path) if not row.get("deleted")] for kind in KINDS}
    agents = {row["agent_id"]: row["hostname"] for row in client.rows(NOUNS["agents"].path)}
    names: Names = {"agents": agents}
    for kind in KINDS:
        if len(kind.identity) == 1:
            names[kind.section] = {row[kind.key]: row[kind.identity[0]] for row in rows[kind.section]}
    objects = {
        kind.section: [DeployedObject(row[kind.key], _values(kind, row, names), row) for row in rows[kind.section]]
        for kind in KINDS
    }
    return DeployedObjects(objects, frozenset(agents.values()), client.rows("/sessions") if with_sessions else ())


def exported(snapshot: DeployedObjects) -> Document:
    """Return the document of the deployment, with references in place of secrets."""
    document: Document = {}
    taken: dict[str, tuple[str, ...]] = {}
    for kind in KINDS:
        found = [one.values for one in snapshot.objects[kind.section]]
        document[kind.section] = [referenced(kind, _portable(kind, values), taken) for values in found]
    return document


def _portable(kind: ObjectKind, values: Row) -> Row:
    """Return the values without those that only make sense in this installation, and without secrets that are not
    set.
    """
    left_out = {*kind.local, *(name for name in kind.secrets if not values[name])}
    if str(values.get("image_src", "")).startswith(UPLOADED):
        left_out.add("image_src")
    return {name: value for name, value in values.items() if name not in left_out}


def _values(kind: ObjectKind, row: Row, names: Names) -> Row:
    """Return a row of the api as in a document, with `MASK` in place of the secrets that exist."""
    required = (name for name, one in kind.fields.items() if one.is_required)
    values: Row = dict.fromkeys((*kind.identity, *required))
    for one in kind.fields.values():
        if one.name in row:
            values[document_field(one.name)] = _with_names(one.name, row[one.name], names)
    secrets: Row = {"docker_token": MASK if row.get("docker_user") else None}
    secrets["secrets"] = dict.fromkeys(row.get("secret_names", ()), MASK)
    return values | {name: secrets[name] for name in kind.secrets}


def _with_names(field: str, value: Any, names: Names) -> Any:
    if field == "settings":
        settings = cast("Row", value)
        sections = SECTION_OF_SETTING
        return {key: names[sections[key]].get(one, one) if key in sections else one for key, one in settings.items()}
    if field not in REFERENCES or value is None:
        return value
    known = names[REFERENCES[field].section]
    return (
        [known.get(one, one) for one in cast("list[str]", value)]
        if isinstance(value, list)
        else known.get(value, value)
    )


class PlanApplication:
    """One application of a plan. `report` gets each action before it is applied, and the warnings of the api."""

    def __init__(self, client: Client, snapshot: DeployedObjects, report: Callable[[str], None]) -> None:
        self._client = client
        self._report = report
        self._ids = {
            kind.section: {kind.name_of(found.values): found.object_id for found in snapshot.objects[kind.section]}
            for kind in KINDS
        }

    def apply(self, plan: Plan) -> None:
        """Apply all actions. Raises ApiError: the plan has problems, and nothing was changed; or the server refused an
        action, and the actions before it are done. The message contains their number."""
        if plan.problems:
            raise ApiError("Nothing was changed. " + " ".join(plan.problems))
        for number, action in enumerate(plan.actions):
            self._report(f"{action.verb.capitalize()} {action.title}.")
            try:
                self._apply(action)
            except ApiError as error:
                raise ApiError(
                    f"{action.title}: {error.message} {number} of {len(plan.actions)} actions are done; correct the"
                    " cause and apply the document again."
                ) from error

    def _apply(self, action: ConfigurationAction) -> None:
        kind = action.kind
        if action.verb == "delete":
            self._delete(action)
            return
        body = self._body(action.values)
        if action.verb == "create":
            answer = self._client.post(kind.path, body)
            self._ids[kind.section][action.name] = answer[kind.key]
            if kind.section == "webhooks":
                self._report(f"Print a signing secret for it: greenroom webhooks renew-secret {action.name}")
        else:
            object_id = action.object_id or self._ids[kind.section][action.name]
            answer = self._client.patch(f"{kind.path}/{object_id}", body)
        for sentence in _warnings(answer):
            self._report(f"Warning: {sentence}")

    def _body(self, values: Row) -> Row:
        """Return the request of the api for values of a document."""
        body = dict(values)
        for name, reference in REFERENCES.items():
            if reference.field in body:
                found: Any = body.pop(reference.field)
                ids = self._ids_of(reference.section)
                many = isinstance(found, list)
                body[name] = [ids[one] for one in cast("list[str]", found)] if many else found and ids[found]
        if settings := body.get("settings"):
            body["settings"] = {
                name: self._ids_of(SECTION_OF_SETTING[name])[value] if value and name in SECTION_OF_SETTING else value
                for name, value in settings.items()
            }
        return body

    def _ids_of(self, section: str) -> Mapping[str, str]:
        if section not in self._ids:
            self._ids[section] = {row["hostname"]: row["agent_id"] for row in self._client.rows("/agents")}
        return self._ids[section]

    def _delete(self, action: ConfigurationAction) -> None:
        kind = action.kind
        for session_id in action.sessions:
            self._client.delete(f"/sessions/{session_id}")
        if kind.session_key is not None:
            self._wait_for_end(kind.session_key, str(action.object_id))
        self._client.delete(f"{kind.path}/{action.object_id}")

    def _wait_for_end(self, key: str, object_id: str) -> None:
        """Wait until no session uses the object: those of users, and those of its deleted pools."""
        deadline = time.monotonic() + SESSIONS_END_S
        while any(row[key] == object_id for row in self._client.rows("/sessions")):
            if time.monotonic() > deadline:
                raise ApiError(f"Its sessions did not end within {SESSIONS_END_S:g} s.")
            time.sleep(POLL_S)


def _warnings(answer: Row) -> Iterable[str]:
    return filter(None, (answer.get("warning"), *answer.get("warnings", ())))
