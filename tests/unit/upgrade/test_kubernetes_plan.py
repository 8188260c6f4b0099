"""The plan of an upgrade on Kubernetes: versions, images, and the state of a rollout."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenroom.backup.overlay import TOOLS_POD, Overlay, tools_pod
from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.upgrade.kubernetes_plan import (
    APPLIED,
    REVISION,
    RunningWorkload,
    applied_objects,
    new_pods_of,
    plan_kubernetes_upgrade,
    plan_object_return,
    return_commands,
    rollout_state,
)

NEW = Version(0, 2, 0)


def workload(name: str, image: str = "api:2", kind: str = "Deployment", **fields: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    metadata = {"name": name, "namespace": "desks", "generation": 2}
    return {"kind": kind, "metadata": metadata, "spec": {"replicas": 1, "template": template}, **fields}


def overlay(*names: str, image: str = "api:2") -> Overlay:
    return Overlay.parse(Path("site"), yaml.safe_dump_all([workload(name, image) for name in names]))


def running(name: str, *versions: str, image: str = "api:1") -> RunningWorkload:
    return RunningWorkload(name=name, image=image, applied_image=image, versions=versions)


def pod(name: str, *, ready: bool, template: str = "b", state: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"pod-template-hash": template}},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"state": state or {"running": {}}}],
        },
    }


def test_managers_are_replaced_first_and_the_database_last():
    deployment = overlay("kasm-db", "kasm-agent", "kasm-proxy", "kasm-api", "kasm-manager")
    found = [running(name, "0.1.0") for name in ("kasm-manager", "kasm-api", "kasm-proxy", "kasm-agent")]
    plan = plan_kubernetes_upgrade(NEW, deployment, [*found, running("kasm-db")], ["1_pre_a"], ["1_pre_a", "2_post_b"])
    assert plan.lines() == [
        "Greenroom 0.1.0 → 0.2.0",
        "backup    written and verified before the first change",
        "migration 1_pre_a, before the roles",
        "replace   kasm-manager    0.1.0 → 0.2.0  api:2",
        "replace   kasm-api        0.1.0 → 0.2.0  api:2",
        "replace   kasm-proxy      0.1.0 → 0.2.0  api:2",
        "replace   kasm-agent      0.1.0 → 0.2.0  api:2",
        "replace   kasm-db         api:2",
        "migration 2_post_b, after all roles run 0.2.0",
    ]


@pytest.mark.parametrize(
    ("versions", "image", "sentence"),
    [
        (("0.3.0",), "api:1", "the newer version 0.3.0"),
        (("0.2.0", "0.0.9"), "api:1", "from 0.0.9 to 0.2.0 would skip the series 0.1"),
        (("0.1.0",), "api:2", "has the image api:2 of the running version 0.1.0"),
        ((), "api:1", "no Pod is ready"),
    ],
)
def test_an_upgrade_is_refused_with_the_reason(versions: tuple[str, ...], image: str, sentence: str):
    with pytest.raises(SetupError, match=sentence):
        plan_kubernetes_upgrade(NEW, overlay("kasm-api"), [running("kasm-api", *versions, image=image)], [], [])


def test_an_image_that_was_not_applied_is_refused():
    found = replace(running("kasm-api", "0.1.0"), applied_image="api:0")
    with pytest.raises(SetupError, match="kasm-api has the image api:1 without kubectl apply"):
        plan_kubernetes_upgrade(NEW, overlay("kasm-api"), [found], [], [])


def test_an_upgrade_that_was_killed_in_a_rollout_is_planned_again():
    found = replace(running("kasm-api", "0.1.0", image="api:2"), is_rolled_out=False)
    plan = plan_kubernetes_upgrade(NEW, overlay("kasm-api"), [found], [], [])
    assert ([role.name for role in plan.roles.roles], plan.roles.interrupted) == (["kasm-api"], True)


def test_a_workload_that_the_cluster_lacks_is_refused():
    with pytest.raises(SetupError, match="has no kasm-agent"):
        plan_kubernetes_upgrade(NEW, overlay("kasm-api", "kasm-agent"), [running("kasm-api", "0.1.0")], [], [])


def test_nothing_is_planned_if_all_pods_have_the_version():
    found = [running("kasm-api", "0.2.0", "0.2.0", image="api:2")]
    assert plan_kubernetes_upgrade(NEW, overlay("kasm-api"), found, [], []).is_empty


def test_a_folder_without_roles_is_not_a_deployment():
    with pytest.raises(SetupError, match="is not the kustomization of a deployment"):
        Overlay.parse(Path("site"), "kind: ConfigMap\nmetadata: {name: other}\n")


def test_a_rollout_is_complete_when_all_new_pods_are_ready_and_no_old_pod_is_left():
    counts = {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 2, "readyReplicas": 2}
    started = workload("kasm-api", status=counts)
    assert rollout_state(started, [pod("new", ready=True)]).problem == "1 of 1 Pods are ready"
    complete = workload("kasm-api", status={**counts, "replicas": 1, "readyReplicas": 1})
    assert rollout_state(complete, [pod("new", ready=True)]).problem == ""
    unobserved = workload("kasm-api", status={**counts, "replicas": 1, "readyReplicas": 1, "observedGeneration": 1})
    assert rollout_state(unobserved, [pod("new", ready=True)]).problem


def test_a_pod_that_no_container_has_started_may_pull_its_image():
    waiting = pod("new", ready=False, state={"waiting": {"reason": "ContainerCreating"}})
    assert rollout_state(workload("kasm-api"), [waiting]).is_pulling
    refused = pod("new", ready=False, state={"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    state = rollout_state(workload("kasm-api"), [refused])
    assert (state.is_pulling, state.problem) == (False, "ErrImagePull: not found")


def test_new_pods_are_those_of_the_newest_template_that_do_not_end():
    current = workload("kasm-api")
    current["metadata"]["annotations"] = {REVISION: "3"}
    sets = [
        {"kind": "ReplicaSet", "metadata": {"annotations": {REVISION: number}, "labels": {"pod-template-hash": name}}}
        for number, name in (("2", "a"), ("3", "b"))
    ]
    ending = pod("ending", ready=True)
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    listed = [*sets, pod("old", ready=True, template="a"), ending, pod("new", ready=True)]
    assert [one["metadata"]["name"] for one in new_pods_of(current, listed)] == ["new"]


def test_only_applied_objects_are_kept_for_the_return():
    metadata = {"name": "applied", "annotations": {APPLIED: '{"spec": "applied"}'}}
    made_by_agent = {"kind": "Service", "metadata": {"name": "made-by-agent"}}
    listed = [{"kind": "Service", "metadata": metadata}, made_by_agent]
    assert applied_objects(listed) == {"service/applied": {"spec": "applied"}}


def test_the_return_applies_the_changed_objects_and_deletes_the_created_objects():
    changed, created, by_hand = ({"kind": "Service", "metadata": {"name": name}} for name in ("a", "b", "c"))
    unrelated, namespace = ({"kind": kind, "metadata": {"name": "a"}} for kind in ("Role", "Namespace"))

    def applied(one: dict[str, Any]) -> dict[str, Any]:
        annotations = {APPLIED: json.dumps({"spec": "previous"})}
        return {**one, "metadata": {**one["metadata"], "annotations": annotations}}

    deployment = Overlay(Path("site"), (changed, created, by_hand, namespace, workload("kasm-api")))
    before = [*map(applied, (changed, unrelated)), by_hand]
    assert plan_object_return(before, deployment) == ([{"spec": "previous"}], ["service/b"])


def test_the_return_is_one_command_with_the_backup_and_the_previous_objects():
    (command,) = return_commands(Path("/b/a.backup"), "/p", Path("/b/a.kubernetes"), Path("/my keys"), "prod")
    options = "--passphrase-file /p --replace --kubernetes /b/a.kubernetes --keys '/my keys' --context prod"
    assert command == f"{sys.executable} -P -m greenroom restore /b/a.backup {options}"


def test_the_pod_for_the_database_has_the_template_of_the_job_and_waits():
    template = {
        "metadata": {"labels": {"app.kubernetes.io/name": "kasm-migrate"}},
        "spec": {"restartPolicy": "OnFailure", "containers": [{"name": "migrate", "args": ["greenroom"]}]},
    }
    made = tools_pod({"metadata": {"namespace": "desks"}, "spec": {"template": template}})
    assert (made["metadata"]["name"], made["spec"]["restartPolicy"]) == (TOOLS_POD, "Never")
    assert made["metadata"]["labels"] == template["metadata"]["labels"]
    assert made["spec"]["containers"][0]["args"][0] == "sleep"
    assert template["spec"]["containers"] == [{"name": "migrate", "args": ["greenroom"]}]
