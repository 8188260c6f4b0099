"""The objects of a web filter in a namespace: a Secret, a Pod with Squid, its Service, and two NetworkPolicies. This
module sends no requests.

The first policy allows sessions under the filter to reach only the Service. The second allows Squid to reach public
addresses and name servers. No API reports whether the network of the cluster enforces policies. Therefore a session's
Pod tries to connect to a port that the policy closes, and does not start if the connection succeeds.
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

from greenroom.core.web_filter import CLOSED_PORT, FILTER_PORT, PRIVATE_IPV4, PRIVATE_IPV6, proxy_variables
from greenroom.core.workspace.session_spec import SessionFile
from greenroom.runtimes.archive import pack_tar
from greenroom.runtimes.contract import INSTALLATION
from greenroom.runtimes.kubernetes.manifest import lost_node_tolerations, restricted_container, restricted_pod
from greenroom.runtimes.kubernetes.names import (
    FILES_DIGEST,
    FILTER_CONTAINER,
    PART,
    POLICY,
    SERVICE_ADDRESS,
    TEMPLATE_DIGEST,
    ObjectOwner,
    filter_name,
)
from greenroom.runtimes.kubernetes.objects import annotations_of, labels_of, metadata

VOLUME_PATH: Final = "/run/greenroom-filter"
FILES_FOLDER: Final = f"{VOLUME_PATH}/files"
MOUNT_PATH: Final = "/etc/greenroom-filter"
"""The mount path of the filter's Secret. The container unpacks its files only at the first start. Later files are sent
to `RELOAD_SCRIPT`, because a node updates a mounted Secret with a delay of up to a minute.
"""
FILES_KEY: Final = "files.tar.gz"
"""The key of the files in the filter's Secret. A Secret has at most 1 MiB."""
START_SCRIPT: Final = f"""\
PATH=$PATH:/usr/sbin
[ -e {FILES_FOLDER}/squid.conf ] || tar -x -z -f {MOUNT_PATH}/{FILES_KEY} -C / --no-same-owner --no-overwrite-dir
exec squid -N -n greenroom -f {FILES_FOLDER}/squid.conf
"""
RELOAD_SCRIPT: Final = "head -c {} | tar -x -z -f - -C / --no-same-owner --no-overwrite-dir && kill -HUP 1"
DNS_LABELS: Final = {"k8s-app": "kube-dns"}
"""The labels of the Pods that serve DNS in a cluster."""
MEMORY: Final = ("64Mi", "512Mi")
"""The memory request and the memory limit of Squid. A list of 10,000 domains needs about 100 MiB."""

BYPASS_MESSAGE: Final = (
    "The session could bypass its web filter: the network of this cluster does not enforce NetworkPolicies, or another"
    " policy allows more. Sessions under a web filter require a network plugin that enforces them."
)
CHECK_SCRIPT: Final = f"""\
connects() {{ timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }}
until connects "$1" {FILTER_PORT}; do
  [ $SECONDS -lt 20 ] || {{ echo "The web filter does not answer at $1."; exit 1; }}
  sleep 0.1
done
end=$((SECONDS + 10))
until ! connects "$1" {CLOSED_PORT}; do
  [ $SECONDS -lt $end ] || {{ echo {shlex.quote(BYPASS_MESSAGE)}; exit 1; }}
  sleep 0.5
done
"""
"""The script that a session's Pod runs before its container starts; `$1` is the filter's address. It waits up to 10 s
until the network enforces the policy.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterImage:
    """An image with Squid and bash, and the Secrets with log-ins for its registry."""

    name: str
    pull_secrets: tuple[str, ...] = ()

    @property
    def secrets(self) -> list[LocalObjectReference]:
        return [LocalObjectReference(name=name) for name in self.pull_secrets]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterObjects:
    """The objects of the web filter of one policy."""

    owner: ObjectOwner
    policy_id: str

    @property
    def name(self) -> str:
        return filter_name(self.owner.agent_id, self.policy_id)

    @property
    def squid_labels(self) -> dict[str, str]:
        return {**self.owner.agent_selector("filter"), POLICY: self.policy_id}

    @property
    def session_labels(self) -> dict[str, str]:
        return {**self.owner.agent_selector("session"), POLICY: self.policy_id}

    def _metadata(self, owner_secret: Secret | None = None, name: str = "") -> ObjectMeta:
        meta = ObjectMeta(name=name or self.name, labels={**self.owner.labels("filter"), POLICY: self.policy_id})
        if owner_secret is not None:
            owner_metadata = metadata(owner_secret)
            meta.ownerReferences = [
                OwnerReference(
                    apiVersion="v1", kind="Secret", name=owner_metadata.name or "", uid=owner_metadata.uid or ""
                )
            ]
        return meta

    def secret(self) -> Secret:
        """Return the Secret of the filter, which owns all other objects of the filter. It is created first and deleted
        last.
        """
        return Secret(metadata=self._metadata(), type="Opaque")

    def service(self, owner_secret: Secret) -> Service:
        """Return the Service through which sessions reach the filter. Its address stays the same when its Pod is
        replaced.
        """
        ports = [ServicePort(name=f"port-{port}", port=port, protocol="TCP") for port in (FILTER_PORT, CLOSED_PORT)]
        address = annotations_of(owner_secret).get(SERVICE_ADDRESS)
        spec = ServiceSpec(selector=self.squid_labels, ports=ports, clusterIP=address)
        return Service(metadata=self._metadata(owner_secret), spec=spec)

    def policies(self, owner_secret: Secret, name_servers: Iterable[str]) -> list[NetworkPolicy]:
        """Return the policy of the sessions under the filter, and the policy of Squid. Only the policy of the sessions
        closes `CLOSED_PORT`, so that `CHECK_SCRIPT` tests this policy.
        """
        sessions = NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=self.session_labels),
            policyTypes=["Egress"],
            egress=[NetworkPolicyEgressRule(to=[_pod_peer(self.squid_labels)], ports=_tcp(FILTER_PORT))],
        )
        name_server_peers = [
            _pod_peer(DNS_LABELS, all_namespaces=True),
            *(_address_peer(_cidr_of(server)) for server in name_servers),
        ]
        public_peers = [_address_peer("0.0.0.0/0", PRIVATE_IPV4), _address_peer("::/0", PRIVATE_IPV6)]
        squid = NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=self.squid_labels),
            policyTypes=["Ingress", "Egress"],
            ingress=[
                NetworkPolicyIngressRule(from_=[_pod_peer(self.session_labels)], ports=_tcp(FILTER_PORT, CLOSED_PORT))
            ],
            egress=[
                NetworkPolicyEgressRule(to=public_peers, ports=[NetworkPolicyPort(protocol="TCP")]),
                NetworkPolicyEgressRule(
                    to=name_server_peers, ports=[NetworkPolicyPort(port=53, protocol="UDP"), *_tcp(53)]
                ),
            ],
        )
        return [
            NetworkPolicy(metadata=self._metadata(owner_secret), spec=sessions),
            NetworkPolicy(metadata=self._metadata(owner_secret, f"{self.name}-squid"), spec=squid),
        ]

    def pod(self, owner_secret: Secret, image: FilterImage, files_digest: str) -> Pod:
        """Return the Pod of Squid, in the restricted profile. Its node restarts the container when it ends."""
        mounts = [
            VolumeMount(name="given", mountPath=MOUNT_PATH, readOnly=True),
            VolumeMount(name="run", mountPath=VOLUME_PATH),
        ]
        squid = Container(
            name=FILTER_CONTAINER,
            image=image.name,
            imagePullPolicy="IfNotPresent",
            command=["sh", "-c", START_SCRIPT],
            resources=ResourceRequirements(requests={"cpu": "10m", "memory": MEMORY[0]}, limits={"memory": MEMORY[1]}),
            readinessProbe=Probe(tcpSocket=TCPSocketAction(port=FILTER_PORT), periodSeconds=1, timeoutSeconds=1),
            securityContext=restricted_container(read_only=True),
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
            tolerations=lost_node_tolerations(),
            securityContext=restricted_pod(),
        )
        meta = self._metadata(owner_secret)
        meta.annotations = {TEMPLATE_DIGEST: digest(spec), FILES_DIGEST: files_digest}
        return Pod(metadata=meta, spec=spec)


def digest(value: object) -> str:
    """Return a digest of a value; equal values have equal digests."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:32]


def pack_files(files: Mapping[str, str]) -> bytes:
    """Return an archive with the files of a filter, for unpacking at `/`. Equal files give equal archives."""
    return gzip.compress(
        pack_tar([SessionFile(path=f"{FILES_FOLDER}/{name}", content=text) for name, text in files.items()]), mtime=0
    )


def is_from_template(pod: Pod, expected: Pod) -> bool:
    """Return True if a Pod was created from the same template as the `expected` Pod."""
    return annotations_of(pod).get(TEMPLATE_DIGEST) == annotations_of(expected)[TEMPLATE_DIGEST]


def route_through_filter(pod: Pod, address: str, image: FilterImage) -> Pod:
    """Change a session's Pod to use the filter at this address. Its programs get proxy variables, the filter is its
    only name server, and an init container checks that the session cannot bypass the filter.
    """
    spec = pod.spec or PodSpec(containers=[])
    variables = proxy_variables(address)
    (container,) = spec.containers
    other_variables = [variable for variable in container.env or [] if variable.name not in variables]
    container.env = [*other_variables, *(EnvVar(name=name, value=value) for name, value in variables.items())]
    spec.dnsPolicy, spec.dnsConfig = "None", PodDNSConfig(nameservers=[address])
    check = Container(
        name="web-filter",
        image=image.name,
        imagePullPolicy="IfNotPresent",
        command=["bash", "-c", CHECK_SCRIPT, "bash", address],
        resources=ResourceRequirements(requests={"cpu": "10m", "memory": "32Mi"}, limits={"memory": "64Mi"}),
        securityContext=restricted_container(read_only=True),
        terminationMessagePolicy="FallbackToLogsOnError",
    )
    spec.initContainers = [check]
    spec.imagePullSecrets = [*(spec.imagePullSecrets or []), *image.secrets]
    pod.spec = spec
    return pod


# Other policies of the namespace --------------------------------------------------------------------------------------


def policies_that_allow(policies: Iterable[NetworkPolicy], labels: Mapping[str, str]) -> list[str]:
    """Return the names of the policies, except those of web filters, that allow connections of Pods with these labels.
    In Kubernetes, each policy adds permissions.
    """
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
    expected = cast("dict[str, str]", selector.matchLabels or {})
    return expected.items() <= dict(labels).items() and all(
        _is_met(requirement, labels) for requirement in selector.matchExpressions or []
    )


def _is_met(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement.key), requirement.values or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(requirement.operator, True)


# Parts of policies ----------------------------------------------------------------------------------------------------


def _pod_peer(labels: Mapping[str, str], *, all_namespaces: bool = False) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        podSelector=LabelSelector(matchLabels=dict(labels)),
        namespaceSelector=LabelSelector() if all_namespaces else None,
    )


def _address_peer(cidr: str, excluded: Sequence[str] = ()) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(ipBlock=IPBlock(cidr=cidr, except_=list(excluded) or None))


def _cidr_of(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"


def _tcp(*ports: int) -> list[NetworkPolicyPort]:
    return [NetworkPolicyPort(port=port, protocol="TCP") for port in ports]


def contains(actual: Any, expected: Any) -> bool:
    """Return True if the object of the server has every expected value. It may have more values, such as defaults."""
    if isinstance(expected, dict):
        expected = cast("dict[str, Any]", expected)
        return isinstance(actual, dict) and all(
            contains(cast("dict[str, Any]", actual).get(key), v) for key, v in expected.items()
        )
    if isinstance(expected, list):
        items = cast("list[Any]", expected)
        return (
            isinstance(actual, list)
            and len(cast("list[Any]", actual)) == len(items)
            and all(contains(a, b) for a, b in zip(cast("list[Any]", actual), items, strict=True))
        )
    return actual == expected
