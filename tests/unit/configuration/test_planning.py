"""The plan of a document: its properties, its reasons, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.configuration.documents import DOCUMENTS, applied, snapshot_of
from tests.unit.properties import for_all

from greenroom.cli.configuration.document import Document
from greenroom.cli.configuration.planning import (
    ConfigurationAction,
    DeployedObject,
    DeployedObjects,
    Plan,
    PlanOptions,
    plan,
)
from greenroom.core.errors import Invalid
from greenroom.core.masking import MASK

PRUNE = PlanOptions(prune=True)
BROWSER = {"friendly_name": "Browser", "name": "image"}


def _is_deletion(action: ConfigurationAction) -> bool:
    return action.verb == "delete"


def _forgets_the_last(document: Document, snapshot: DeployedObjects, options: PlanOptions) -> Plan:
    return Plan(plan(document, snapshot, options).actions[:-1])


def _forgets_removed_settings(document: Document, snapshot: DeployedObjects, options: PlanOptions) -> Plan:
    def without(action: ConfigurationAction) -> ConfigurationAction:
        settings = {name: value for name, value in action.values.get("settings", {}).items() if value is not None}
        return replace(action, values=action.values | ({"settings": settings} if "settings" in action.values else {}))

    return Plan(tuple(map(without, plan(document, snapshot, options).actions)))


@for_all(DOCUMENTS, DOCUMENTS, subject=plan, mutants=[_forgets_the_last, _forgets_removed_settings])
def test_the_plan_after_an_apply_is_empty(subject: Any, document: Document, present: Document):
    for options in (PlanOptions(), PRUNE):
        before = snapshot_of(present)
        after = applied(before, subject(document, before, options))
        assert plan(document, after, options).actions == ()


@for_all(DOCUMENTS, DOCUMENTS, subject=plan, mutants=[lambda wanted, found, _: plan(wanted, found, PRUNE)])
def test_nothing_is_deleted_without_prune(subject: Any, document: Document, present: Document):
    assert not any(map(_is_deletion, subject(document, snapshot_of(present), PlanOptions()).actions))


@for_all(
    DOCUMENTS, subject=plan, mutants=[lambda wanted, found, options: plan({**wanted, "zones": []}, found, options)]
)
def test_a_deployment_equals_its_own_document(subject: Any, document: Document):
    assert subject(document, snapshot_of(document), PRUNE).actions == ()


def test_prune_deletes_only_in_sections_of_the_document_and_no_system_group():
    present = snapshot_of({"groups": [{"name": "Students"}], "webhooks": [{"name": "billing"}]})
    system = DeployedObject("g", {"name": "All Users"}, {"is_system": True})
    present = DeployedObjects({**present.objects, "groups": [*present.objects["groups"], system]})
    (action,) = plan({"groups": []}, present, PRUNE).actions
    assert (action.title, action.reason) == ("group Students", "The document does not have it.")


def test_a_change_shows_old_and_new_values_and_masks_variables():
    old: dict[str, Any] = {**BROWSER, "cores": 1.0, "run_config": {"environment": {"KEY": "old"}}}
    new: dict[str, Any] = {**BROWSER, "cores": 2.0, "run_config": {"environment": {"KEY": "new"}}}
    (action,) = plan({"workspaces": [new]}, snapshot_of({"workspaces": [old]}), PlanOptions()).actions
    assert action.reason == "2 fields differ from the document."
    assert action.changes == {"cores": (1.0, 2.0), "run_config.environment.KEY": (MASK, MASK)}


def test_a_variable_without_a_value_keeps_its_present_value_but_a_new_one_is_refused():
    wanted: Document = {"workspaces": [{**BROWSER, "run_config": {"environment": {"KEY": MASK}}}]}
    present = snapshot_of({"workspaces": [{**BROWSER, "run_config": {"environment": {"KEY": "present"}}}]})
    assert plan(wanted, present, PlanOptions()) == Plan()
    (problem,) = plan(wanted, snapshot_of({}), PlanOptions()).problems
    assert problem.startswith("Workspace Browser: the secret `run_config.environment.KEY` has no value")


@pytest.mark.parametrize(
    ("changes", "options", "is_sent"),
    [
        ({}, PlanOptions(), False),
        ({}, PlanOptions(send_secrets=True), True),
        ({"docker_user": "other"}, PlanOptions(), True),
        ({"cores": 3.0}, PlanOptions(), False),
    ],
)
def test_a_token_is_sent_with_its_account_or_on_request(changes: dict[str, Any], options: PlanOptions, is_sent: bool):
    row = {**BROWSER, "docker_user": "reader", "docker_token": "hidden"}
    actions = plan({"workspaces": [row | changes]}, snapshot_of({"workspaces": [row]}), options).actions
    assert [action.values["docker_token"] for action in actions if "docker_token" in action.values] == [
        "hidden"
    ] * is_sent
    assert "hidden" not in str([action.changes for action in actions])


def test_the_secrets_of_a_machine_pool_are_sent_if_other_names_are_set():
    row: dict[str, Any] = {"name": "cloud", "zone": "eu", "secrets": {"token": MASK}}
    present = snapshot_of({"machine_pools": [row], "zones": [{"zone_name": "eu"}]})
    assert plan({"machine_pools": [{**row, "secrets": {"token": "new"}}]}, present, PlanOptions()).actions == ()
    (action,) = plan({"machine_pools": [{**row, "secrets": {"key": "new"}}]}, present, PlanOptions()).actions
    assert action.values == {"secrets": {"key": "new"}}


def test_pools_of_one_place_are_matched_by_their_values_first():
    place: dict[str, Any] = {"workspace": "Browser", "zone": "eu", "num_sessions": 1, "expiration": 1.0}
    loud, silent = place | {"allow_kasm_audio": True}, place | {"allow_kasm_audio": False}
    rows = {"workspaces": [BROWSER], "zones": [{"zone_name": "eu"}]}
    (action,) = plan(
        {"staging_configs": [loud, silent]}, snapshot_of({"staging_configs": [silent], **rows}), PlanOptions()
    ).actions
    assert (action.verb, action.values) == ("create", loud)


def test_a_group_gets_a_new_workspace_as_default_after_its_creation():
    group = {"name": "Students", "settings": {"default_image": "Browser", "idle_disconnect": 5.0}}
    document: Document = {"groups": [group], "workspaces": [{**BROWSER, "groups": ["Students"]}]}
    found = plan(document, snapshot_of({}), PlanOptions())
    assert [(action.verb, action.title) for action in found.actions] == [
        ("create", "group Students"),
        ("create", "workspace Browser"),
        ("update", "group Students"),
    ]
    assert found.actions[-1].values == {"settings": {"default_image": "Browser"}}
    assert found.problems == ()


def _session(user: str | None) -> dict[str, Any]:
    return {"session_id": f"of {user}", "image_id": "workspaces-0", "zone_id": "zones-0", "user_id": user}


def test_sessions_of_users_are_ended_only_by_force():
    present = replace(snapshot_of({"workspaces": [BROWSER]}), sessions=[_session("ada"), _session(None)])
    careful = plan({"workspaces": []}, present, PRUNE)
    assert careful.actions[0].sessions == ("of ada",)
    assert careful.problems == (
        "Workspace Browser has live sessions: 1. Its deletion ends them; pass --force to delete it.",
    )
    assert plan({"workspaces": []}, present, PlanOptions(prune=True, force=True)).problems == ()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"workspaces": [{**BROWSER, "filter_policy": "Exam"}]}, "refers to `Exam`, which is not in filter policies."),
        ({"workspaces": [{**BROWSER, "agent": "host1"}]}, "refers to `host1`, which is not in agents."),
        ({"groups": [{"name": "a", "settings": {"web_filter_policy": "No"}}]}, "refers to `No`"),
        ({"workspaces": [{"friendly_name": "New"}]}, "Workspace New is new and needs `name`."),
        ({"machine_pools": [{"name": "cloud", "zone": "us"}]}, "Machine pool cloud cannot change `zone`"),
    ],
)
def test_what_the_api_would_refuse_is_found_before(document: Document, problem: str):
    pool = {"name": "cloud", "zone": "eu"}
    zones = [{"zone_name": "eu"}, {"zone_name": "us"}]
    (found,) = plan(document, snapshot_of({"machine_pools": [pool], "zones": zones}), PlanOptions()).problems
    assert problem in found


def test_a_value_that_cannot_be_stored_is_refused_with_its_object():
    document: Document = {"filter_policies": [{"name": "Exam", "allow": ["https://no"]}]}
    with pytest.raises(Invalid, match="The web filter policy Exam cannot be used: 'https://no'"):
        plan(document, snapshot_of({}), PlanOptions())


def test_a_zone_with_hosts_is_not_deleted():
    zone = DeployedObject("z", {"zone_name": "eu"}, {"num_agents": 2, "num_managers": 0})
    present = DeployedObjects({**snapshot_of({}).objects, "zones": [zone]})
    assert plan({"zones": []}, present, PRUNE).problems == (
        "Zone eu still has 2 Agents; remove them first, or keep it in the document.",
    )
