"""Documents and deployments for tests: strategies of both, and an application of a plan without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from greenroom.cli.configuration.document import Document
from greenroom.cli.configuration.kinds import KINDS, normalize_object
from greenroom.cli.configuration.planning import DeployedObject, DeployedObjects, Plan

NAMES = ("ann", "bob", "cy")
KIND = {kind.section: kind for kind in KINDS}


def _row(name: str, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.sampled_from(NAMES)}, optional=optional)


def _rows(strategy: st.SearchStrategy[dict[str, Any]], *identity: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(strategy, max_size=3, unique_by=lambda row: tuple(row[name] for name in identity))


_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "default_image": st.sampled_from(NAMES),
        "idle_disconnect": st.floats(0, 60),
        "max_upload_mb": st.integers(0, 9),
    },
)
_ROLES: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.one_of(
        st.just({"role": "auditor"}),
        st.fixed_dictionaries({"role": st.just("help_desk"), "groups": st.lists(st.sampled_from(NAMES), min_size=1)}),
        st.fixed_dictionaries({"role": st.just("zone_operator"), "zones": st.just(["ann"])}),
    ),
    max_size=2,
    unique_by=lambda each: str(each["role"]),
)
_SECTIONS = {
    "zones": _rows(_row("zone_name", search_alternate_zones=st.booleans()), "zone_name"),
    "filter_policies": _rows(
        _row("name", description=st.text(), allow=st.lists(st.sampled_from(["b.example", "a.example"]))), "name"
    ),
    "groups": _rows(_row("name", priority=st.integers(1, 9), settings=_SETTINGS, roles=_ROLES), "name"),
    "workspaces": _rows(
        st.fixed_dictionaries(
            {"friendly_name": st.sampled_from(NAMES), "name": st.just("image")},
            optional={
                "groups": st.lists(st.sampled_from(NAMES), unique=True),
                "filter_policy": st.none() | st.sampled_from(NAMES),
                "run_config": st.dictionaries(
                    st.sampled_from(["environment", "labels"]), st.dictionaries(st.sampled_from(NAMES), st.text())
                ),
            },
        ),
        "friendly_name",
    ),
    "staging_configs": st.lists(
        st.fixed_dictionaries(
            {
                "workspace": st.sampled_from(NAMES),
                "zone": st.sampled_from(NAMES),
                "num_sessions": st.integers(0, 2),
                "expiration": st.just(1.0),
                "allow_kasm_audio": st.booleans(),
            }
        ),
        max_size=3,
    ),
    "webhooks": _rows(
        st.fixed_dictionaries(
            {"name": st.sampled_from(NAMES), "url": st.text(), "events": st.just(["launch.done"])},
            optional={"enabled": st.booleans()},
        ),
        "name",
    ),
}
DOCUMENTS: st.SearchStrategy[Document] = st.fixed_dictionaries({}, optional=_SECTIONS)  # pyright: ignore[reportArgumentType]


def snapshot_of(document: Mapping[str, list[dict[str, Any]]]) -> DeployedObjects:
    """The deployment with exactly the objects of a document."""
    return DeployedObjects(
        {
            section: [
                DeployedObject(
                    f"{section}-{number}", normalize_object(KIND[section], row), {"zone_id": "", "image_id": ""}
                )
                for number, row in enumerate(document.get(section, []))
            ]
            for section in KIND
        }
    )


def applied(snapshot: DeployedObjects, plan: Plan) -> DeployedObjects:
    """The deployment after a plan, as the api changes it."""
    objects = {section: list(found) for section, found in snapshot.objects.items()}
    for number, action in enumerate(plan.actions):
        rows = objects[action.kind.section]
        same = [
            one
            for one in rows
            if action.object_id in (one.object_id, None) and action.kind.name_of(one.values) == action.name
        ]
        if action.verb == "create":
            rows.append(DeployedObject(f"new-{number}", action.values))
            continue
        (old,) = same
        rows.remove(old)
        if action.verb == "update":
            changes = dict(action.values)
            if "settings" in changes:
                merged = (old.values.get("settings") or {}) | changes["settings"]
                changes["settings"] = {name: value for name, value in merged.items() if value is not None}
            rows.append(DeployedObject(old.object_id, old.values | changes, old.row))
    return DeployedObjects(objects, snapshot.agents)
