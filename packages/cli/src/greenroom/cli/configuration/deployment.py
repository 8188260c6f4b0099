"""Reads the objects of a deployment as a document, and applies a plan, through `/api/v1`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from greenroom.cli.client import ApiError, Client
from greenroom.cli.configuration.document import Document, reference_secrets
from greenroom.cli.configuration.kinds import KINDS, NAME_FIELDS, SECTION_OF, ObjectKind, normalize_value
from greenroom.cli.configuration.planning import ConfigurationAction, DeployedObject, DeployedObjects, Plan
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Row, warnings_in
from greenroom.core.errors import NotFound
from greenroom.core.masking import MASK

SESSIONS_END_S: Final = 60.0
"""The maximum time to wait for the end of the sessions of a workspace or zone before its deletion."""
POLL_S: Final = 0.5
UPLOADED_PICTURE_PREFIX: Final = "/api/v1/images/"
"""The prefix of the address of an uploaded picture, which is not part of a document."""

_ID_FIELDS: Final = {name: field for field, name in NAME_FIELDS.items()}
Tables = Mapping[str, Mapping[str, str]]
"""The replacements of references: section → id → name, or section → name → id."""


def read_snapshot(client: Client, *, with_sessions: bool) -> DeployedObjects:
    """Return the objects of the deployment. `with_sessions` adds the live sessions, which deletions may end. Raises
    ApiError: the API key may not read one of the lists."""
    rows = {kind.section: _read_rows(client, kind) for kind in KINDS}
    agents = {row["agent_id"]: row["hostname"] for row in client.rows(NOUNS["agents"].path)}
    names = {"agents": agents}
    for kind in KINDS:
        if len(kind.identity) == 1:
            names[kind.section] = {row[kind.noun.id_field]: row[kind.identity[0]] for row in rows[kind.section]}
    objects = {
        kind.section: [
            DeployedObject(row[kind.noun.id_field], _values(kind, row, names), row) for row in rows[kind.section]
        ]
        for kind in KINDS
    }
    agent_ids = {hostname: agent_id for agent_id, hostname in agents.items()}
    return DeployedObjects(objects, agent_ids, client.rows("/sessions") if with_sessions else ())


def _read_rows(client: Client, kind: ObjectKind) -> list[Row]:
    try:
        return [row for row in client.rows(kind.noun.path) if not row.get("deleted")]
    except ApiError as error:
        if kind.is_optional and isinstance(error.__cause__, NotFound):
            return []
        raise


def export_document(snapshot: DeployedObjects) -> Document:
    """Return the document of the deployment, with references in place of secrets."""
    document: Document = {}
    used_names: dict[str, tuple[str, ...]] = {}
    for kind in KINDS:
        objects = [_portable_values(kind, deployed.values) for deployed in snapshot.objects[kind.section]]
        document[kind.section] = [reference_secrets(kind, values, used_names) for values in objects]
    return document


def _portable_values(kind: ObjectKind, values: Row) -> Row:
    """Return the values for another installation: without values that are valid only in this installation, and without
    secrets that are not set.
    """
    excluded = {*kind.local_fields, *(name for name in kind.secrets if not values[name])}
    if str(values.get("image_src", "")).startswith(UPLOADED_PICTURE_PREFIX):
        excluded.add("image_src")
    return {name: value for name, value in values.items() if name not in excluded}


def _values(kind: ObjectKind, row: Row, names: Tables) -> Row:
    """Return a row of the api in the form of the document, with `MASK` in place of each secret that is set."""
    required = (name for name, field in kind.fields.items() if field.is_required)
    values: Row = dict.fromkeys((*kind.identity, *required))
    renamed = _rename(row, NAME_FIELDS)
    present = _replace_names({name: renamed[name] for name in kind.fields if name in renamed}, names)
    values |= {name: normalize_value(name, value) if name == "roles" else value for name, value in present.items()}
    secrets: Row = {
        "docker_token": MASK if row.get("docker_user") else None,
        "client_secret": MASK if row.get("has_client_secret") else None,
        "password": MASK if row.get("has_password") else None,
    }
    secrets["secrets"] = dict.fromkeys(row.get("secret_names", ()), MASK)
    return values | {name: secrets[name] for name in kind.secrets}


def _rename(values: Row, new_names: Mapping[str, str]) -> Row:
    """Return the values with the new names of fields, also in the rules of a sign-on provider or directory."""
    return {
        new_names.get(name, name): [_rename(rule, new_names) for rule in value] if name == "rules" else value
        for name, value in values.items()
    }


def _replace_names(values: Row, tables: Tables) -> Row:
    """Return the values with each reference to another object replaced, also in settings. A reference that is not in
    `tables` stays unchanged."""

    def replace_value(name: str, value: Any) -> Any:
        if name == "settings" and value:
            return _replace_names(value, tables)
        if name in ("rules", "roles"):
            return [_replace_names(part, tables) for part in value]
        if name not in SECTION_OF or not value:
            return value
        table = tables[SECTION_OF[name]]
        is_list = isinstance(value, list)
        return [table.get(item, item) for item in cast("list[str]", value)] if is_list else table.get(value, value)

    return {name: replace_value(name, value) for name, value in values.items()}


class PlanApplication:
    """Applies a plan. `report` receives each action before it is applied, and the warnings of the api."""

    def __init__(self, client: Client, snapshot: DeployedObjects, report: Callable[[str], None]) -> None:
        self._client = client
        self._report = report
        self._ids = {
            kind.section: {
                kind.name_of(deployed.values): deployed.object_id for deployed in snapshot.objects[kind.section]
            }
            for kind in KINDS
        } | {"agents": dict(snapshot.agents)}

    def apply(self, plan: Plan) -> None:
        """Apply all actions. Raises ApiError: the plan has problems, and nothing was changed; or the server refused an
        action, and the earlier actions are done. The message contains the number of done actions."""
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
            answer = self._client.post(kind.noun.path, body)
            self._ids[kind.section][action.name] = answer[kind.noun.id_field]
            if kind.section == "webhooks":
                self._report(f"Print a signing secret for it: greenroom webhooks renew-secret {action.name}")
        else:
            object_id = action.object_id or self._ids[kind.section][action.name]
            answer = self._client.patch(f"{kind.noun.path}/{object_id}", body)
        for sentence in warnings_in(answer):
            self._report(f"Warning: {sentence}")

    def _body(self, values: Row) -> Row:
        """Return the body of the request for an object with these values of the document."""
        return _rename(_replace_names(values, self._ids), _ID_FIELDS)

    def _delete(self, action: ConfigurationAction) -> None:
        kind = action.kind
        for session_id in action.sessions:
            self._client.delete(f"/sessions/{session_id}")
        if kind.session_key is not None:
            self._wait_for_end(kind.session_key, str(action.object_id))
        self._client.delete(f"{kind.noun.path}/{action.object_id}")

    def _wait_for_end(self, key: str, object_id: str) -> None:
        """Wait until no session uses the object, also no staged session. Raises ApiError: a session remains."""
        deadline = time.monotonic() + SESSIONS_END_S
        while any(row[key] == object_id for row in self._client.rows("/sessions")):
            if time.monotonic() > deadline:
                raise ApiError(f"Its sessions did not end within {SESSIONS_END_S:g} s.")
            time.sleep(POLL_S)
