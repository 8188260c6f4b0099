"""The objects of a web filter in a namespace: a Squid in a Pod, a Service in front of it, and two NetworkPolicies.
Pure.

The first policy allows a session under the filter to reach only the Service. The second allows Squid to reach public
addresses and name servers. The cluster's network may not enforce them, and no API reports that. Therefore a
session's Pod first tries an address that must be closed to it, and does not start if that address opens.
"""

from __future__ import annotations

import gzip
import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from lightkube.models.core_v1 import (
    Container,
    EmptyDirVolumeSource,
    EnvVar,
    LocalObjectReference,
    PodDNSConfig,
    PodSpec,
    Probe,
    ResourceRequirements,
    SecretVolumeSource,
    ServicePort,
    ServiceSpec,
    TCPSocketAction,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference
from lightkube.models.networking_v1 import (
    IPBlock,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.resources.core_v1 import Pod, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy

from greenroom.core.web_filter import CLOSED_PORT, PORT, PRIVATE, PRIVATE_IPV6, proxy_variables
from greenroom.core.workspace.session_spec import SessionFile
from greenroom.runtimes.archive import archive
from greenroom.runtimes.contract import INSTALLATION
from greenroom.runtimes.kubernetes.manifest import locked, of_lost_nodes, unprivileged
from greenroom.runtimes.kubernetes.names import (
    ADDRESS,
    APPLIED,
    FILTER_CONTAINER,
    PART,
    POLICY,
    TEMPLATE_DIGEST,
    ObjectOwner,
    filter_name,
)
from greenroom.runtimes.kubernetes.objects import annotations_of, labels_of, metadata

VOLUME: Final = "/run/greenroom-filter"
FOLDER: Final = f"{VOLUME}/files"
GIVEN: Final = "/etc/greenroom-filter"
"""The mount path of its Secret. A node may update the files up to a minute late, so they are read only at the first
start.
"""
FILES: Final = "files.tar.gz"
"""Key of the files in the filter's Secret, which can hold 1 MiB."""
SQUID: Final = f"""\
PATH=$PATH:/usr/sbin
[ -e {FOLDER}/squid.conf ] || tar -x -z -f {GIVEN}/{FILES} -C / --no-same-owner --no-overwrite-dir
exec squid -N -n greenroom -f {FOLDER}/squid.conf
"""
REREAD: Final = "head -c {} | tar -x -z -f - -C / --no-same-owner --no-overwrite-dir && kill -HUP 1"
DNS_LABELS: Final = {"k8s-app": "kube-dns"}
"""Labels of the name servers of clusters, for any program."""
MEMORY: Final = ("64Mi", "512Mi")
"""The memory request and the limit of a Squid. Lists of 10,000 domains take about 100 MiB."""

GOES_AROUND_IT: Final = (
    "The session could bypass its web filter: the network of this cluster does not enforce NetworkPolicies, or another"
    " policy allows more. Sessions under a web filter require a network plugin that enforces them."
)
CHECK: Final = f"""\
opens() {{ timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }}
until opens "$1" {PORT}; do
  [ $SECONDS -lt 20 ] || {{ echo "The web filter does not answer at $1."; exit 1; }}
  sleep 0.1
done
end=$((SECONDS + 10))
until ! opens "$1" {CLOSED_PORT}; do
  [ $SECONDS -lt $end ] || {{ echo {shlex.quote(GOES_AROUND_IT)}; exit 1; }}
  sleep 0.5
done
"""
"""The script that a session's Pod runs before its container starts; `$1` is the filter's address. A policy may come
into effect a little later than a Pod.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterImage:
    """An image with Squid and bash, and the Secrets with which nodes pull it."""

    name: str
    pull_secrets: tuple[str, ...] = ()

    @property
    def secrets(self) -> list[LocalObjectReference]:
        return [LocalObjectReference(name=name) for name in self.pull_secrets]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterObjects:
    """The objects of one policy's filter."""

    identity: ObjectOwner
    policy_id: str

    @property
    def name(self) -> str:
        return filter_name(self.identity.agent_id, self.policy_id)

    @property
    def squid_labels(self) -> dict[str, str]:
        return {**self.identity.of_agent("filter"), POLICY: self.policy_id}

    @property
    def session_labels(self) -> dict[str, str]:
        return {**self.identity.of_agent("session"), POLICY: self.policy_id}

    def _about(self, owner: Secret | None = None, name: str = "") -> ObjectMeta:
        about = ObjectMeta(name=name or self.name, labels={**self.identity.labels("filter"), POLICY: self.policy_id})
        if owner is not None:
            of = metadata(owner)
            about.ownerReferences = [
                OwnerReference(apiVersion="v1", kind="Secret", name=of.name or "", uid=of.uid or "")
            ]
        return about

    def secret(self) -> Secret:
        """The Secret of the filter. It is created first and deleted last, and owns all its other objects."""
        return Secret(metadata=self._about(), type="Opaque")

    def service(self, owner: Secret) -> Service:
        """The Service through which sessions reach the filter. Its address stays the same when its Pod is replaced."""
        ports = [ServicePort(name=f"port-{port}", port=port, protocol="TCP") for port in (PORT, CLOSED_PORT)]
        address = annotations_of(owner).get(ADDRESS)
        spec = ServiceSpec(selector=self.squid_labels, ports=ports, clusterIP=address)
        return Service(metadata=self._about(owner), spec=spec)

    def policies(self, owner: Secret, name_servers: Iterable[str]) -> list[NetworkPolicy]:
        """The policy of the filter's sessions, and that of its Squid. The policy of Squid also admits sessions at a
        port that is closed to them, so that only their own policy blocks it."""
        sessions = NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=self.session_labels),
            policyTypes=["Egress"],
            egress=[NetworkPolicyEgressRule(to=[_pods(self.squid_labels)], ports=_tcp(PORT))],
        )
        names = [_pods(DNS_LABELS, everywhere=True), *(_block(_alone(server)) for server in name_servers)]
        public = [_block("0.0.0.0/0", PRIVATE), _block("::/0", PRIVATE_IPV6)]
        squid = NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=self.squid_labels),
            policyTypes=["Ingress", "Egress"],
            ingress=[NetworkPolicyIngressRule(from_=[_pods(self.session_labels)], ports=_tcp(PORT, CLOSED_PORT))],
            egress=[
                NetworkPolicyEgressRule(to=public, ports=[NetworkPolicyPort(protocol="TCP")]),
                NetworkPolicyEgressRule(to=names, ports=[NetworkPolicyPort(port=53, protocol="UDP"), *_tcp(53)]),
            ],
        )
        return [
            NetworkPolicy(metadata=self._about(owner), spec=sessions),
            NetworkPolicy(metadata=self._about(owner, f"{self.name}-squid"), spec=squid),
        ]

    def pod(self, owner: Secret, image: FilterImage, applied: str) -> Pod:
        """The Pod of Squid, which its node restarts when it ends; it fits the restricted profile."""
        mounts = [VolumeMount(name="given", mountPath=GIVEN, readOnly=True), VolumeMount(name="run", mountPath=VOLUME)]
        squid = Container(
            name=FILTER_CONTAINER,
            image=image.name,
            imagePullPolicy="IfNotPresent",
            command=["sh", "-c", SQUID],
            resources=ResourceRequirements(requests={"cpu": "10m", "memory": MEMORY[0]}, limits={"memory": MEMORY[1]}),
            readinessProbe=Probe(tcpSocket=TCPSocketAction(port=PORT), periodSeconds=1, timeoutSeconds=1),
            securityContext=locked(read_only=True),
            volumeMounts=mounts,
        )
        spec = PodSpec(
            containers=[squid],
            volumes=[
                Volume(name="given", secret=SecretVolumeSource(secretName=self.name)),
                Volume(name="run", emptyDir=EmptyDirVolumeSource()),
            ],
            restartPolicy="Always",
            terminationGracePeriodSeconds=1,
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            imagePullSecrets=image.secrets or None,
            tolerations=of_lost_nodes(),
            securityContext=unprivileged(),
        )
        about = self._about(owner)
        about.annotations = {TEMPLATE_DIGEST: digest(spec), APPLIED: applied}
        return Pod(metadata=about, spec=spec)


def digest(thing: object) -> str:
    """A digest that is equal for equal things."""
    return hashlib.sha256(msgspec.json.encode(thing, order="deterministic")).hexdigest()[:32]


def packed(files: Mapping[str, str]) -> bytes:
    """The files of a filter, to be unpacked at `/`; equal for equal files."""
    return gzip.compress(
        archive([SessionFile(path=f"{FOLDER}/{name}", content=text) for name, text in files.items()]), mtime=0
    )


def is_of(pod: Pod, wanted: Pod) -> bool:
    """Return True if a Pod was created from the current template."""
    return annotations_of(pod).get(TEMPLATE_DIGEST) == annotations_of(wanted)[TEMPLATE_DIGEST]


def route_through_filter(pod: Pod, address: str, image: FilterImage) -> Pod:
    """Change a session's Pod to use the filter at this address: its programs get proxy variables, it has no other name
    server, and the session starts only after the check that it cannot go around the filter.
    """
    spec = pod.spec or PodSpec(containers=[])
    variables = proxy_variables(address)
    (container,) = spec.containers
    kept = [one for one in container.env or [] if one.name not in variables]
    container.env = [*kept, *(EnvVar(name=name, value=value) for name, value in variables.items())]
    spec.dnsPolicy, spec.dnsConfig = "None", PodDNSConfig(nameservers=[address])
    needs = {"cpu": "10m", "memory": "32Mi"}
    check = Container(
        name="web-filter",
        image=image.name,
        imagePullPolicy="IfNotPresent",
        command=["bash", "-c", CHECK, "bash", address],
        resources=ResourceRequirements(requests=needs, limits={"memory": "64Mi"}),
        securityContext=locked(read_only=True),
        terminationMessagePolicy="FallbackToLogsOnError",
    )
    spec.initContainers = [check]
    spec.imagePullSecrets = [*(spec.imagePullSecrets or []), *image.secrets]
    pod.spec = spec
    return pod


# Policies of others ---------------------------------------------------------------------------------------------------


def leaks(policies: Iterable[NetworkPolicy], labels: Mapping[str, str]) -> list[str]:
    """The names of policies that allow Pods with these labels to reach something; policies of filters are not checked.
    Policies only add permissions."""
    return [
        metadata(policy).name or ""
        for policy in policies
        if policy.spec is not None
        and policy.spec.egress
        and "Egress" in (policy.spec.policyTypes or ["Egress"])
        and not (labels_of(policy).get(PART) == "filter" and INSTALLATION in labels_of(policy))
        and _selects(policy.spec.podSelector, labels)
    ]


def _selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return True
    wanted = cast("dict[str, str]", selector.matchLabels or {})
    return wanted.items() <= dict(labels).items() and all(
        _holds(one, labels) for one in selector.matchExpressions or []
    )


def _holds(one: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(one.key), one.values or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(one.operator, True)


# Parts of policies ----------------------------------------------------------------------------------------------------


def _pods(labels: Mapping[str, str], *, everywhere: bool = False) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        podSelector=LabelSelector(matchLabels=dict(labels)),
        namespaceSelector=LabelSelector() if everywhere else None,
    )


def _block(cidr: str, but: Sequence[str] = ()) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(ipBlock=IPBlock(cidr=cidr, except_=list(but) or None))


def _alone(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"


def _tcp(*ports: int) -> list[NetworkPolicyPort]:
    return [NetworkPolicyPort(port=port, protocol="TCP") for port in ports]


def same(one: Any, other: Any) -> bool:
    """Return True if the server's object contains every wanted value; it may contain more, because of defaults."""
    if isinstance(other, dict):
        wanted = cast("dict[str, Any]", other)
        return isinstance(one, dict) and all(same(cast("dict[str, Any]", one).get(key), v) for key, v in wanted.items())
    if isinstance(other, list):
        items = cast("list[Any]", other)
        return (
            isinstance(one, list)
            and len(cast("list[Any]", one)) == len(items)
            and all(same(a, b) for a, b in zip(cast("list[Any]", one), items, strict=True))
        )
    return one == other
