"""The objects of a web filter in a namespace, and foreign policies that would bypass it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    EnvVar,
    PodSpec,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, Secret
from lightkube.resources.networking_v1 import NetworkPolicy

from greenroom.core.web_filter import CLOSED_PORT, FILTER_PORT
from greenroom.runtimes.kubernetes.filter_manifest import (
    FilterImage,
    FilterObjects,
    contains,
    is_from_template,
    pack_files,
    policies_that_allow,
    route_through_filter,
)
from greenroom.runtimes.kubernetes.names import POLICY, ObjectOwner
from greenroom.runtimes.kubernetes.pod_state import first_waiting, is_up, reason_of_end, run_id_of

PARTS = FilterObjects(owner=ObjectOwner(installation_id="i", agent_id="a"), policy_id="p")
OWNER = Secret(metadata=ObjectMeta(name=PARTS.name, uid="u"))
IMAGE = FilterImage(name="agent:1", pull_secrets=("registry",))
OF_A = {"key": "a", "values": ["b"]}
FILTERED = {**ObjectOwner(installation_id="i", agent_id="a").session_labels("s"), POLICY: "p"}


def policy(name: str = "theirs", labels: dict[str, str] | None = None, **spec: Any) -> NetworkPolicy:
    about = {"name": name, "labels": labels or {}}
    return msgspec.convert({"metadata": about, "spec": spec}, type=NetworkPolicy)


def test_sessions_reach_the_filters_port_alone_which_admits_no_others():
    sessions, squid = (msgspec.to_builtins(one.spec) for one in PARTS.policies(OWNER, ()))
    (rule,) = sessions["egress"]
    assert [port["port"] for port in rule["ports"]] == [FILTER_PORT]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["to"]] == [PARTS.squid_labels]
    assert sessions["podSelector"]["matchLabels"].items() <= FILTERED.items()
    (rule,) = squid["ingress"]
    assert [port["port"] for port in rule["ports"]] == [FILTER_PORT, CLOSED_PORT], (
        "only their own policy keeps them from it"
    )
    assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == [PARTS.session_labels]


def test_the_filter_reaches_public_addresses_by_tcp_and_name_servers():
    squid = msgspec.to_builtins(PARTS.policies(OWNER, ("10.0.0.2", "fd00::2"))[1].spec)
    web, names = squid["egress"]
    assert [port["protocol"] for port in web["ports"]] == ["TCP"]
    assert "10.0.0.0/8" in web["to"][0]["ipBlock"]["except"]
    assert [peer["ipBlock"]["cidr"] for peer in web["to"]] == ["0.0.0.0/0", "::/0"]
    blocks = [peer["ipBlock"]["cidr"] for peer in names["to"] if peer.get("ipBlock")]
    assert blocks == ["10.0.0.2/32", "fd00::2/128"]
    assert {port["port"] for port in names["ports"]} == {53}


@pytest.mark.parametrize(
    ("spec", "does"),
    [
        ({"podSelector": {}, "egress": [{}]}, True),
        ({"podSelector": {"matchLabels": {"greenroom.part": "session"}}, "egress": [{}]}, True),
        ({"podSelector": {"matchLabels": {"app": "db"}}, "egress": [{}]}, False),
        ({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}, False),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, False),
        ({"podSelector": {}, "ingress": [{}]}, False),
        ({"podSelector": {"matchExpressions": [{"key": POLICY, "operator": "DoesNotExist"}]}, "egress": [{}]}, False),
        ({"podSelector": {"matchExpressions": [{"key": POLICY, "operator": "Exists"}]}, "egress": [{}]}, True),
        ({"podSelector": {"matchExpressions": [{"operator": "In", **OF_A}]}, "egress": [{}]}, False),
        ({"podSelector": {"matchExpressions": [{"operator": "NotIn", **OF_A}]}, "egress": [{}]}, True),
    ],
)  # fmt: skip
def test_what_of_others_leads_around_a_filter(spec: dict[str, Any], does: bool):
    assert policies_that_allow([policy(**spec)], FILTERED) == (["theirs"] if does else [])


def test_policies_of_filters_are_no_leaks():
    own = PARTS.policies(OWNER, ())
    assert policies_that_allow(own, FILTERED) == []


def test_a_session_behind_a_filter_has_its_proxy_and_no_name_server():
    pod = Pod(spec=PodSpec(containers=[Container(name="session", env=[EnvVar(name="http_proxy", value="theirs")])]))
    spec = route_through_filter(pod, "10.79.0.5", IMAGE).spec
    assert spec is not None
    variables = {one.name: one.value for one in spec.containers[0].env or []}
    assert variables["http_proxy"] == variables["HTTPS_PROXY"] == f"http://10.79.0.5:{FILTER_PORT}"
    assert (spec.dnsPolicy, spec.dnsConfig and spec.dnsConfig.nameservers) == ("None", ["10.79.0.5"])
    assert [one.name for one in spec.imagePullSecrets or []] == ["registry"]


def test_the_proxy_at_an_ipv6_address_is_in_brackets():
    pod = Pod(spec=PodSpec(containers=[Container(name="session")]))
    spec = route_through_filter(pod, "fd00::5", IMAGE).spec
    assert spec is not None
    assert {one.value for one in spec.containers[0].env or []} >= {f"http://[fd00::5]:{FILTER_PORT}"}


def test_another_image_is_another_pod_and_another_policy_is_not():
    before = PARTS.pod(OWNER, IMAGE, "one")
    assert is_from_template(before, PARTS.pod(OWNER, IMAGE, "two"))
    assert not is_from_template(before, PARTS.pod(OWNER, FilterImage(name="agent:2"), "one"))


def test_files_are_packed_the_same_each_time_and_long_lists_are_short():
    """The size limit of a Secret is 1 MiB."""
    text = "".join(f"acl allow_3 dstdomain -n .{number:x}.host-{number}.example.org\n" for number in range(20_000))
    assert pack_files({"squid.conf": text}) == pack_files({"squid.conf": text})
    assert len(pack_files({"squid.conf": text})) < 400_000 < len(text)


def test_what_the_server_adds_by_itself_is_no_change():
    assert contains({"ports": [{"port": 1, "nodePort": 9}], "type": "ClusterIP"}, {"ports": [{"port": 1}]})
    assert not contains({"ports": [{"port": 1}, {"port": 2}]}, {"ports": [{"port": 1}]})
    assert not contains({"ports": None}, {"ports": [{"port": 1}]})
    assert not contains(None, {"ports": []})


def test_what_the_cluster_puts_beside_a_filter_says_nothing_about_it():
    pod = PARTS.pod(OWNER, IMAGE, "one")
    running = ContainerState(running=ContainerStateRunning())
    mesh, squid = (
        ContainerStatus(name=name, image="i", imageID="", containerID=name, ready=True, restartCount=0, state=running)
        for name in ("a-mesh", pod.spec.containers[0].name if pod.spec else "")
    )
    pod.status = PodStatus(podIP="10.0.0.5", containerStatuses=[mesh])
    assert not is_up(pod)
    pod.status = PodStatus(podIP="10.0.0.5", containerStatuses=[mesh, squid])
    assert is_up(pod)
    assert run_id_of(pod) == "squid"


def begun(state: ContainerState) -> Pod:
    check = ContainerStatus(name="web-filter", image="agent:1", imageID="", ready=False, restartCount=0, state=state)
    main = ContainerState(waiting=ContainerStateWaiting(reason="PodInitializing"))
    session = ContainerStatus(name="session", image="desk:1", imageID="", ready=False, restartCount=0, state=main)
    return Pod(status=PodStatus(phase="Failed", initContainerStatuses=[check], containerStatuses=[session]))


def test_a_session_that_was_not_shut_in_says_what_the_check_said():
    ended = ContainerStateTerminated(exitCode=1, message="The session could bypass its web filter.\n")
    assert reason_of_end(begun(ContainerState(terminated=ended))) == "The session could bypass its web filter."


def test_a_node_without_the_filters_image_is_what_a_session_waits_for():
    waiting = ContainerStateWaiting(reason="ErrImagePull", message="not found")
    assert first_waiting(begun(ContainerState(waiting=waiting))) == ("ErrImagePull", "not found", "agent:1")
