"""The Secret and the Pod of a session: secrets only in the Secret, the restricted profile in the Pod."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from lightkube.models.core_v1 import (
    ContainerState as State,
)
from lightkube.models.core_v1 import (
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStatus,
    PodCondition,
    PodStatus,
)
from lightkube.resources.core_v1 import Node, Pod, ResourceQuota

from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.session_spec import Exec, Mount, Service, SessionFile, SessionSpec
from greenroom.runtimes.contract import SPEC_HASH, Credentials, StartError
from greenroom.runtimes.kubernetes.capacity import (
    UNLIMITED,
    Amount,
    allocatable_of_nodes,
    requests_of_pods,
    total_of_quotas,
)
from greenroom.runtimes.kubernetes.exec import exit_code_of, script_of
from greenroom.runtimes.kubernetes.images import log_in_of
from greenroom.runtimes.kubernetes.manifest import (
    LOST_AFTER_S,
    AllowedResources,
    pending_entry,
    pending_files,
    pod_from_template,
    pod_of,
    secret_of,
    template_entry,
)
from greenroom.runtimes.kubernetes.names import EXTRA_LABELS, POD_UID, ObjectOwner, home_name
from greenroom.runtimes.kubernetes.objects import annotations_of, decoded, labels_of, metadata, status
from greenroom.runtimes.kubernetes.pod_state import (
    END_REPORT_TIMEOUT,
    NODE_TIMEOUT,
    POD_LOST_TEXT,
    container_of,
    deletion_due_at,
)
from greenroom.runtimes.kubernetes.volumes import Volumes, volumes_of

SESSION = "4f9c8f5e-0a53-4b45-9d8e-1a6f0c7e5b11"
WHO = ObjectOwner(installation_id="an-installation", agent_id="an-agent")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def spec(**changes: object) -> SessionSpec:
    return SessionSpec(**{"image": "desk:1", "image_id": "i", "credential": "hidden", **changes})  # type: ignore[arg-type]


def made(wanted: SessionSpec, allowed: AllowedResources | None = None, volumes: Volumes | None = None) -> Pod:
    return pod_of(SESSION, wanted, WHO, volumes=volumes or Volumes(), allowed=allowed or AllowedResources())


def test_no_secret_is_in_the_pod():
    wanted = spec(
        environment={"TOKEN": "mine-alone"},
        run_config={"environment": {"LICENCE": "theirs"}},
        files=(SessionFile(path="/home/kasm-user/key", content="private"),),
    )
    text = msgspec.json.encode(made(wanted)).decode()
    assert not [secret for secret in ("hidden", "mine-alone", "theirs", "private") if secret in text]
    secret = secret_of(SESSION, wanted, WHO)
    assert decoded(secret, "variable.TOKEN") == b"mine-alone"
    assert labels_of(secret)[SPEC_HASH] == wanted.hash()


def test_a_pod_fits_the_restricted_profile():
    pod = made(spec(cpu_mode="Quotas", cores=0.5))
    assert pod.spec is not None
    of_pod, of_container = pod.spec.securityContext, pod.spec.containers[0].securityContext
    assert of_pod is not None
    assert of_container is not None
    assert (of_pod.runAsNonRoot, of_pod.runAsUser) == (True, 1000)
    assert of_pod.seccompProfile is not None
    assert of_pod.seccompProfile.type == "RuntimeDefault"
    assert (of_container.allowPrivilegeEscalation, of_container.privileged) == (False, False)
    assert of_container.capabilities is not None
    assert of_container.capabilities.drop == ["ALL"]
    assert pod.spec.automountServiceAccountToken is False
    resources = pod.spec.containers[0].resources
    assert resources is not None
    assert resources.limits == {"memory": str(1 << 30), "cpu": "500m"}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"cap_add": ["CHOWN"]}, "restricted profile"),
        ({"user": "desk"}, "must be a number"),
        ({"runtime": "kata"}, "does not offer the runtime kata"),
        ({"privileged": True}, "weakens"),
    ],
)
def test_what_a_pod_cannot_have_is_one_sentence(config: dict[str, object], why: str):
    with pytest.raises(StartError, match=why):
        made(spec(run_config=config))
    with pytest.raises(StartError, match="a network of Docker"):
        made(spec(network="other"))


def test_a_workspace_chooses_nodes_and_the_runtime_and_still_leaves_a_lost_node():
    config = {"node_selector": {"disk": "fast"}, "tolerations": [{"operator": "Exists"}], "runtime": "kata"}
    pod = made(spec(run_config=config), AllowedResources(runtime_classes=("kata",)))
    assert pod.spec is not None
    assert (pod.spec.nodeSelector, pod.spec.runtimeClassName) == ({"disk": "fast"}, "kata")
    keys = [(one.key, one.tolerationSeconds) for one in pod.spec.tolerations or []]
    lost = ("node.kubernetes.io/not-ready", LOST_AFTER_S), ("node.kubernetes.io/unreachable", LOST_AFTER_S)
    assert keys == [*lost, (None, None)]


def test_a_pod_belongs_to_its_secret():
    secret = secret_of(SESSION, spec(), WHO)
    secret.data = template_entry(made(spec()))
    metadata(secret).uid = "its-uid"
    (owner,) = metadata(pod_from_template(secret)).ownerReferences or []
    assert (owner.kind, owner.uid, owner.name) == ("Secret", "its-uid", metadata(secret).name)


def test_files_wait_in_the_secret_and_a_later_one_replaces_an_earlier():
    secret = secret_of(SESSION, spec(), WHO)
    secret.data = pending_entry(
        pending_files(secret, [SessionFile(path="/a", content="old"), SessionFile(path="/b", content="b")])
    )
    found = {file.path: file.content for file in pending_files(secret, [SessionFile(path="/a", content="new")])}
    assert found == {"/a": "new", "/b": "b"}


# Volumes ----------------------------------------------------------------------------------------------------------


def test_mounts_are_claims_or_allowed_folders_of_nodes():
    mounts = [
        Mount(source="/profiles/ann", target="/home/kasm-user", profile="Enabled"),
        Mount(source="/claims/shared/plans", target="/plans", read_only=True),
        Mount(source="/data/team/a", target="/team"),
        Mount(source="/data/team/b", target="/other"),
    ]
    made = volumes_of(mounts, "an-installation", ["/data/team"])
    assert made.homes == {home_name("an-installation", "/profiles/ann"): "/profiles/ann"}
    assert [mount.subPath for mount in made.mounts] == [None, "plans", "a", "b"]
    assert len(made.volumes) == 3
    assert [v.hostPath.path for v in made.volumes if v.hostPath] == ["/data/team"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("/data/other", "GREENROOM_VOLUME_FOLDERS"),
        ("/data/teammates", "GREENROOM_VOLUME_FOLDERS"),
        ("/etc/x", "belongs to the host"),
        ("/claims/" + home_name("an-installation", "/profiles/ann"), "profile of a user"),
        ("/claims/../claims/x", "does not name a claim"),
        ("/claims/", "GREENROOM_VOLUME_FOLDERS|does not name a claim"),
    ],
)
def test_a_mount_that_is_not_allowed_is_one_sentence(source: str, why: str):
    with pytest.raises(StartError, match=why):
        volumes_of([Mount(source=source, target="/x")], "an-installation", ["/data/team"])


# States of pods ---------------------------------------------------------------------------------------------------


def seen_with(phase: str, state: State, **more: object) -> Pod:
    pod = made(spec(services=(Service(name="audio", port=4901, allowed=True),)))
    status = ContainerStatus(name="session", image="desk:1", imageID="", ready=False, restartCount=0, state=state)
    pod.status = PodStatus(phase=phase, podIP="10.0.0.5", containerStatuses=[status], **more)  # type: ignore[arg-type]
    return pod


def test_a_session_runs_once_its_files_are_there():
    secret, pod = secret_of(SESSION, spec(), WHO), seen_with("Running", State(running=ContainerStateRunning()))
    secret.data = pending_entry([SessionFile(path="/a", content="a")])
    assert container_of(secret, pod, NOW).state is ContainerState.CREATED
    secret.data = {}
    seen = container_of(secret, pod, NOW)
    assert (seen.state, seen.address) == (ContainerState.RUNNING, "10.0.0.5:6901")
    assert seen.services == {"audio": "10.0.0.5:4901"}


@pytest.mark.parametrize("extra_labels", ["no JSON", "[]", '{"a": 1}'])
def test_a_session_is_found_although_another_program_changed_its_annotation(extra_labels: str):
    secret = secret_of(SESSION, spec(), WHO)
    metadata(secret).annotations = {**annotations_of(secret), EXTRA_LABELS: extra_labels}
    assert container_of(secret, None, NOW).labels == labels_of(secret)


def test_what_the_cluster_puts_beside_a_session_says_nothing_about_it():
    ended = ContainerStateTerminated(exitCode=3, reason="Error")
    for beside, own, state, exit_code in (
        (State(running=ContainerStateRunning()), State(waiting=None), ContainerState.CREATED, None),
        (State(waiting=None), State(running=ContainerStateRunning()), ContainerState.RUNNING, None),
        (State(terminated=ContainerStateTerminated(exitCode=0)), State(terminated=ended), ContainerState.EXITED, 3),
    ):
        pod = seen_with("Failed" if own.terminated else "Running", own)
        mesh = ContainerStatus(name="a-mesh", image="m", imageID="", ready=True, restartCount=0, state=beside)
        status(pod).containerStatuses = [mesh, *(status(pod).containerStatuses or [])]
        seen = container_of(secret_of(SESSION, spec(), WHO), pod, NOW)
        assert (seen.state, seen.exit_code) == (state, exit_code)


def test_a_lost_pod_has_ended_once_its_time_to_end_is_over():
    secret, pod = secret_of(SESSION, spec(), WHO), seen_with("Running", State(running=ContainerStateRunning()))
    metadata(pod).deletionTimestamp = NOW
    assert (
        container_of(secret, pod, NOW + END_REPORT_TIMEOUT - timedelta(milliseconds=1)).state is ContainerState.RUNNING
    )
    seen = container_of(secret, pod, NOW + END_REPORT_TIMEOUT)
    assert seen.state is ContainerState.EXITED
    assert "does not answer any more" in seen.ended


def silent() -> Pod:
    """A Pod whose node reported that it is ready, and then nothing; the cluster reports that the node is not ready."""
    pod = seen_with("Running", State(running=ContainerStateRunning()))
    (container,) = status(pod).containerStatuses or []
    container.ready = True
    status(pod).conditions = [PodCondition(type="Ready", status="False", lastTransitionTime=NOW)]
    return pod


def test_a_pod_of_a_silent_node_is_given_up_after_a_time_and_runs_until_then():
    pod = silent()
    assert deletion_due_at(pod) == NOW + NODE_TIMEOUT
    assert container_of(secret_of(SESSION, spec(), WHO), pod, NOW + 2 * NODE_TIMEOUT).state is ContainerState.RUNNING


def test_a_pod_is_not_given_up_while_its_node_answers():
    answers, container_is_not_ready, leaves, ended = silent(), silent(), silent(), silent()
    status(answers).conditions = [PodCondition(type="Ready", status="True", lastTransitionTime=NOW)]
    (container,) = status(container_is_not_ready).containerStatuses or []
    container.ready = False
    metadata(leaves).deletionTimestamp = NOW
    status(ended).phase = "Failed"
    assert [deletion_due_at(pod) for pod in (answers, container_is_not_ready, leaves, ended)] == [None] * 4


@pytest.mark.parametrize(
    ("reason", "message", "of_container", "said"),
    [
        ("Evicted", "The node was low on resource: memory. ", None, "The node evicted the session: The node was low"),
        ("NodeShutdown", "Node is shutting down", None, "Kubernetes ended the session (NodeShutdown)"),
        (None, None, "OOMKilled", "ran out of memory"),
        (None, None, "Error", ""),
    ],
)
def test_why_a_session_ended(reason: str | None, message: str | None, of_container: str | None, said: str):
    ended = ContainerStateTerminated(exitCode=137, reason=of_container) if of_container else None
    pod = seen_with("Failed", State(terminated=ended), reason=reason, message=message)
    seen = container_of(secret_of(SESSION, spec(), WHO), pod, NOW)
    assert seen.state is ContainerState.EXITED
    assert said in seen.ended
    assert bool(said) == bool(seen.ended)


def test_a_session_whose_pod_is_gone_does_not_start_anew():
    secret = secret_of(SESSION, spec(), WHO)
    assert container_of(secret, None, NOW).state is ContainerState.CREATED
    metadata(secret).annotations = {**annotations_of(secret), POD_UID: "uid"}
    seen = container_of(secret, None, NOW)
    assert (seen.state, seen.ended) == (ContainerState.EXITED, POD_LOST_TEXT)


# Amounts, commands, log-ins -----------------------------------------------------------------------------------------


def quota(hard: dict[str, str], used: dict[str, str]) -> ResourceQuota:
    return msgspec.convert({"spec": {"hard": hard}, "status": {"hard": hard, "used": used}}, ResourceQuota)


def test_what_a_quota_leaves_counts_not_what_it_allows():
    own = requests_of_pods([made(spec(cores=1.0)), seen_with("Failed", State())])
    assert own == Amount(cores=1.0, memory_bytes=1 << 30)
    quotas = [quota({"requests.cpu": "10", "limits.memory": "8Gi"}, {"requests.cpu": "7500m", "limits.memory": "4Gi"})]
    assert total_of_quotas(quotas, own) == Amount(cores=3.5, memory_bytes=5 << 30)
    assert total_of_quotas([quota({"pods": "5"}, {})], own) == UNLIMITED
    full = quota({"cpu": "1"}, {"cpu": "3"})
    assert total_of_quotas([full], own) == Amount(cores=1.0, memory_bytes=UNLIMITED.memory_bytes)


def test_only_nodes_that_take_pods_count():
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2", "memory": "4Gi"}}
    lost = {**ready, "conditions": [{"type": "Ready", "status": "Unknown"}]}
    nodes = [({}, ready), ({"unschedulable": True}, ready), ({}, lost)]
    found = [msgspec.convert({"spec": of, "status": status}, Node) for of, status in nodes]
    assert allocatable_of_nodes(found) == Amount(cores=2.0, memory_bytes=4 << 30)


def test_a_command_is_quoted_marked_and_without_the_credential():
    command = Exec(argv=("echo", "a; b"), environment={"A": "x'y"}, once="an-id")
    script = script_of(command, "an-id", once=True)
    lines = script.splitlines()
    assert "unset VNC_PW" in lines
    assert "echo 'a; b' < /dev/null" in lines
    begun = next(number for number, line in enumerate(lines) if line.startswith("echo begun"))
    assert begun < lines.index("echo 'a; b' < /dev/null")
    assert any("already begun" in line for line in lines)


def test_how_a_command_ended():
    assert exit_code_of({"status": "Success"}) == 0
    failed = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}
    assert exit_code_of(failed) == 3
    with pytest.raises(StartError, match="no such container"):
        exit_code_of({"status": "Failure", "message": "no such container"})


def test_the_log_in_for_an_image_is_that_of_its_registry():
    account = Credentials(user="ann", password="pw")
    for image, registry in (
        ("desk:1", "https://index.docker.io/v1/"),
        ("r.example.org:5000/desk:1", "r.example.org:5000"),
    ):
        auths = json.loads(decoded(log_in_of(image, account, WHO), ".dockerconfigjson"))["auths"]
        assert list(auths) == [registry]
    assert json.loads(decoded(log_in_of("desk:1", None, WHO), ".dockerconfigjson")) == {"auths": {}}
