"""Plans the creations, changes and deletions that make a deployment equal to a document, each with its reason.

A field that is missing in the document is not changed. A field of the document replaces the whole value. Objects are
matched by name. Property tests check three rules: the plan after an apply is empty; without `prune` there is no
deletion; a plan with problems changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

from greenroom.cli.configuration.document import Document, map_secrets
from greenroom.cli.configuration.kinds import KINDS, SECTION_OF, ObjectKind, normalize_object, normalize_value
from greenroom.cli.output import Row
from greenroom.core.masking import MASK, masked_difference, replace_variables

Verb = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class DeployedObject:
    """An object of the deployment: its id, its values in the form of a document, and its row in the api."""

    object_id: str
    values: Row
    row: Row = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class DeployedObjects:
    """The objects of a deployment by section, its Agents (hostname → id), and the rows of its live sessions."""

    objects: Mapping[str, Sequence[DeployedObject]]
    agents: Mapping[str, str] = field(default_factory=dict[str, str])
    sessions: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """`prune`: delete objects that are not in the document, in the sections that it has. `force`: also delete objects
    with live sessions of users. `send_secrets`: also send secrets, which cannot be compared because the api never
    returns them.
    """

    prune: bool = False
    force: bool = False
    send_secrets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationAction:
    """A creation, change or deletion with its reason. `values` contains the fields to send, `before` their present
    values, and `sessions` the ids of the sessions of users that a deletion ends.
    """

    verb: Verb
    kind: ObjectKind
    name: str
    reason: str
    object_id: str | None = None
    values: Row = field(default_factory=dict[str, Any], repr=False)
    before: Row = field(default_factory=dict[str, Any], repr=False)
    sessions: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.kind.noun.singular} {self.name}"

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Path of a value → its old and its new value, without the values of secrets."""
        plain = {name: value for name, value in self.values.items() if name not in self.kind.secrets}
        old, new = masked_difference(self.before, plain)
        changes = {path: (old[path], new[path]) for path in new}
        return changes | {name: (MASK, MASK) for name in self.kind.secrets if name in self.values}


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions, in their order, and the problems that prevent their application."""

    actions: tuple[ConfigurationAction, ...] = ()
    problems: tuple[str, ...] = ()


def plan(document: Document, snapshot: DeployedObjects, options: PlanOptions) -> Plan:
    """Return the actions after which the deployment has the content of the document. The document contains the values
    of its secrets. A secret without a value is `MASK`, and keeps its present value. Raises Invalid: a value of the
    document cannot be stored."""
    changes, deletions = list[ConfigurationAction](), list[ConfigurationAction]()
    for kind in KINDS:
        if kind.section in document:
            rows = [normalize_object(kind, row) for row in document[kind.section]]
            pairs = _match_objects(kind, rows, snapshot.objects[kind.section], options)
            changes += [_creation_or_update(kind, row, deployed, options) for row, deployed in pairs]
            kept_ids = {deployed.object_id for _, deployed in pairs if deployed is not None}
            unwanted = [item for item in snapshot.objects[kind.section] if item.object_id not in kept_ids]
            deletions += [_deletion(kind, item, snapshot) for item in unwanted if not item.row.get("is_system")]
    deletions = deletions[::-1] if options.prune else []
    ordered = _with_roles_last([action for action in changes if action.values])
    actions = [*_with_default_workspaces(ordered), *deletions]
    names = _names_after(document, snapshot, deletions)
    problems = [problem for action in actions for problem in _problems(action, names, options)]
    return Plan(tuple(actions), tuple(problems))


def _match_objects(
    kind: ObjectKind, rows: Sequence[Row], present: Sequence[DeployedObject], options: PlanOptions
) -> list[tuple[Row, DeployedObject | None]]:
    """Match each object of the document with a deployed object of the same name. Several staging configs can have the
    same workspace and zone, so objects without a difference are matched first.
    """
    unmatched, matches = list(present), dict[int, DeployedObject]()
    for exact in (True, False):
        for number, row in enumerate(rows):
            candidates = [item for item in unmatched if all(item.values[name] == row[name] for name in kind.identity)]
            matching = (item for item in candidates if not exact or not _different_fields(kind, row, item, options))
            if number not in matches and (match := next(matching, None)) is not None:
                matches[number] = match
                unmatched.remove(match)
    return [(row, matches.get(number)) for number, row in enumerate(rows)]


def _creation_or_update(
    kind: ObjectKind, row: Row, deployed: DeployedObject | None, options: PlanOptions
) -> ConfigurationAction:
    name = kind.name_of(row)
    if deployed is None:
        values = {key: replace_variables(value, _new_variable_value, name=key) for key, value in row.items()}
        return ConfigurationAction(
            verb="create", kind=kind, name=name, values=values, reason="The deployment does not have it."
        )
    values = _different_fields(kind, row, deployed, options)
    before = {key: deployed.values.get(key) for key in values}
    if "settings" in values:
        present: Row = before["settings"] or {}
        before["settings"] = {key: present.get(key) for key in values["settings"]}
    fields_differ = "fields differ" if len(values) > 1 else "field differs"
    reason = f"{len(values)} {fields_differ} from the document."
    return ConfigurationAction(
        verb="update", kind=kind, name=name, object_id=deployed.object_id, values=values, before=before, reason=reason
    )


def _different_fields(kind: ObjectKind, row: Row, deployed: DeployedObject, options: PlanOptions) -> Row:
    """Return the fields of the document whose values differ from the deployed values."""
    values: Row = {}
    for name, value in row.items():
        old = deployed.values.get(name)
        new = replace_variables(value, _new_variable_value, old, name=name)
        is_unset = name in kind.readable_secrets and value == MASK
        if name in kind.identity or name in kind.secrets or is_unset or new == normalize_value(name, old):
            continue
        values[name] = _setting_changes(new, old) if name == "settings" else new
    for name, trigger_fields in kind.secrets.items():
        if name not in row:
            continue
        names = set(row[name]) if isinstance(row[name], Mapping) else None
        names_differ = names is not None and names != set(deployed.values.get(name) or ())
        if options.send_secrets or names_differ or trigger_fields & values.keys():
            values[name] = row[name]
    return values


def _new_variable_value(text: str, old: str | None) -> str:
    """Return the new value of an environment variable. `text` is its value in the document, and `old` its present
    value (None = there is none). A present value is kept if `text` or `old` is `MASK`: the secret of the document has
    no value, or the API key may not read the present value.
    """
    return old if old is not None and MASK in (text, old) else text


def _setting_changes(new: Row, old: Row | None) -> Row:
    """Return the settings to change; None removes a setting."""
    present = old or {}
    removed = dict.fromkeys(name for name in present if name not in new)
    return {name: value for name, value in new.items() if present.get(name) != value} | removed


def _deletion(kind: ObjectKind, deployed: DeployedObject, snapshot: DeployedObjects) -> ConfigurationAction:
    sessions = [row for row in snapshot.sessions if kind.session_key and row[kind.session_key] == deployed.object_id]
    return ConfigurationAction(
        verb="delete",
        kind=kind,
        name=kind.name_of(deployed.values),
        object_id=deployed.object_id,
        before=deployed.row,
        sessions=tuple(row["session_id"] for row in sessions if row["user_id"]),
        reason="The document does not have it.",
    )


def _with_roles_last(actions: Sequence[ConfigurationAction]) -> list[ConfigurationAction]:
    """Return the actions. If the scope of a role contains a new group, an additional action at the end sets the roles,
    after the creation of the group.
    """
    new_groups = {action.name for action in actions if action.verb == "create" and action.kind.section == "groups"}
    first, last = list[ConfigurationAction](), list[ConfigurationAction]()
    for action in actions:
        roles = cast("list[Row]", action.values.get("roles", ()))
        scopes = {name for each in roles for name in each.get("groups", ())} & new_groups
        rest = {name: value for name, value in action.values.items() if name != "roles" or not scopes}
        if rest:
            first.append(replace(action, values=rest))
        if scopes:
            reason = f"The group {min(scopes)} in the scope of a role is created first."
            last.append(replace(action, verb="update", values={"roles": roles}, before={}, reason=reason))
    return first + last


def _with_default_workspaces(actions: Sequence[ConfigurationAction]) -> Iterator[ConfigurationAction]:
    """Yield the actions. If the default workspace of a group is new, an additional action at the end sets the default
    workspace, after the creation of the workspace.
    """
    creations = [action for action in actions if action.verb == "create"]
    new_workspaces = {action.name for action in creations if action.kind.section == "workspaces"}
    default_workspaces = list[ConfigurationAction]()
    for action in actions:
        settings = cast("Row", action.values.get("settings", {}))
        if settings.get("default_image") not in new_workspaces:
            yield action
            continue
        other_settings = {name: value for name, value in settings.items() if name != "default_image"}
        rest = {name: value for name, value in action.values.items() if name != "settings"}
        if first := rest | ({"settings": other_settings} if other_settings else {}):
            yield replace(action, values=first)
        last: Row = {"settings": {"default_image": settings["default_image"]}}
        reason = f"Its default workspace {settings['default_image']} is created first."
        default_workspaces.append(replace(action, verb="update", values=last, before={}, reason=reason))
    yield from default_workspaces


def _names_after(
    document: Document, snapshot: DeployedObjects, deletions: Sequence[ConfigurationAction]
) -> dict[str, set[str]]:
    """Return the names of each section that exist after the plan."""
    names: dict[str, set[str]] = {"agents": set(snapshot.agents)}
    for kind in KINDS:
        present = {kind.name_of(deployed.values) for deployed in snapshot.objects[kind.section]}
        deleted = {action.name for action in deletions if action.kind is kind}
        names[kind.section] = (present - deleted) | {kind.name_of(row) for row in document.get(kind.section, ())}
    return names


_ROLES_BY_COUNT: Final = {"num_managers": "Managers", "num_agents": "Agents"}
"""Field of a zone with a number of roles → the name of these roles."""


def _problems(action: ConfigurationAction, names: Mapping[str, set[str]], options: PlanOptions) -> Iterator[str]:
    title = action.title[:1].upper() + action.title[1:]
    if action.verb == "delete":
        if action.sessions and not options.force:
            count = len(action.sessions)
            yield f"{title} has live sessions: {count}. Its deletion ends them; pass --force to delete it."
        for field_name, roles in _ROLES_BY_COUNT.items():
            if number := action.before.get(field_name):
                yield f"{title} still has {number} {roles}; remove them first, or keep it in the document."
        return
    required_fields = [name for name, definition in action.kind.fields.items() if definition.is_required]
    required = [name for name in required_fields if name not in action.values]
    immutable = action.kind.immutable_fields & action.values.keys()
    if action.verb == "create" and required:
        yield f"{title} is new and needs {', '.join(f'`{name}`' for name in required)}."
    if action.verb == "update" and immutable:
        yield f"{title} cannot change `{min(immutable)}`; give it another name, or delete it first."
    for section, name in _references(action.values):
        if name not in names[section]:
            yield f"{title} refers to `{name}`, which is not in {section.replace('_', ' ')}."
    missing = list[str]()
    map_secrets(
        action.values,
        lambda value, place: missing.append(".".join(place[1:])) if value == MASK else None,
        (action.kind.section,),
    )
    for path in missing:
        yield f"{title}: the secret `{path}` has no value; set the environment variable, or write the file."


def _references(values: Row) -> Iterator[tuple[str, str]]:
    fields: Row = {**values, **(values.get("settings") or {})}
    for name, section in SECTION_OF.items():
        references: Any = fields.get(name) or []
        names = [references] if isinstance(references, str) else cast("list[str]", references)
        yield from ((section, reference) for reference in names)
    for part in cast("list[Row]", [*values.get("rules", ()), *values.get("roles", ())]):
        yield from _references(part)
