"""The command lines of a test cluster's programs, and their files."""

from __future__ import annotations

import base64
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from tests.support.kubernetes.layout import DOMAIN, Layout, NodeLayout
from tests.support.processes import free_port

from greenroom.kit.certificates import key_to_pem, new_authority, new_key

ADMINISTRATOR: Final = "administrator"
USERS: Final = {
    ADMINISTRATOR: ("system:masters",),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
}
"""User → groups. Nodes are added."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process of the cluster. `node`: the node in which it runs; None stands for the machine."""

    name: str
    argv: tuple[str, ...]
    node: NodeLayout | None = None


def write_files(cluster: Layout, binaries: Path) -> None:
    """Write certificates, tokens and kubeconfigs."""
    folder = cluster.folder
    now = datetime.now(UTC)
    authority, key, signer = new_authority("test cluster", now), new_key(), new_key()
    names = [cluster.host, "127.0.0.1", f"{cluster.services.removesuffix('0/24')}1", "kubernetes.default.svc"]
    (folder / "ca.pem").write_text(authority.certificate)
    (folder / "server.pem").write_text(authority.sign(key.public_key(), names, 30, now))
    (folder / "server.key").write_text(key_to_pem(key))
    (folder / "accounts.key").write_text(key_to_pem(signer))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "accounts.pem").write_bytes(signer.public_key().public_bytes(serialization.Encoding.PEM, form))
    tokens: list[str] = []
    users = {**USERS, **{f"system:node:{node.name}": ("system:nodes",) for node in cluster.nodes}}
    for user, groups in users.items():
        token = os.urandom(16).hex()
        tokens.append(f'{token},{user},{user},"{",".join(groups)}"\n')
        file = cluster.kubeconfig if user == ADMINISTRATOR else _kubeconfig(cluster, user)
        file.write_text(json.dumps(_config(cluster, authority.certificate, user, token)))
        file.chmod(0o600)
    (folder / "tokens.csv").write_text("".join(tokens))
    (folder / "names").mkdir()
    (folder / "binaries").symlink_to(binaries)


def _kubeconfig(cluster: Layout, user: str) -> Path:
    return cluster.folder / f"kubeconfig-{user.rpartition(':')[2]}"


def _config(cluster: Layout, authority: str, user: str, token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {
                "name": "test",
                "cluster": {
                    "server": cluster.server,
                    "certificate-authority-data": base64.b64encode(authority.encode()).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
    }


def etcd(cluster: Layout) -> tuple[Program, str]:
    """etcd and the address for its clients."""
    address, peers = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    argv = ("/usr/bin/etcd", f"--data-dir={cluster.folder}/etcd", f"--listen-client-urls={address}",
            f"--advertise-client-urls={address}", f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}")  # fmt: skip
    return Program("etcd", argv), address


def dockerd(node: NodeLayout) -> Program:
    folder = node.folder
    argv = ("dockerd", f"--data-root={folder}/docker", f"--exec-root={folder}/run", f"--pidfile={folder}/docker.pid",
            f"--host=unix://{node.docker}", f"--bip={node.bridge_address}", f"--cgroup-parent=/{node.name}",
            f"--containerd-namespace={node.name}", f"--containerd-plugins-namespace={node.name}.plugins",
            f"--config-file={folder}/dockerd.json", "--shutdown-timeout=1",
            "--ip-masq=false")  # fmt: skip
    # Without a file it would use the machine's settings. Tests have a registry without TLS.
    folder.joinpath("dockerd.json").write_text(json.dumps({"insecure-registries": [f"{node.cluster.host}/32"]}))
    return Program(f"dockerd-{node.letter}", argv, node)


def api_server(cluster: Layout, etcd_address: str) -> Program:
    folder = cluster.folder
    return Program("kube-apiserver", (
        f"{folder}/binaries/kube-apiserver", f"--etcd-servers={etcd_address}", f"--bind-address={cluster.host}",
        f"--advertise-address={cluster.host}", "--secure-port=6443", f"--tls-cert-file={folder}/server.pem",
        f"--tls-private-key-file={folder}/server.key", f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={cluster.services}", "--service-node-port-range=30000-32767",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder}/accounts.pem",
        f"--service-account-signing-key-file={folder}/accounts.key", "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true", "--profiling=false", f"--cert-dir={folder}/pki",
    ))  # fmt: skip


def scheduler(cluster: Layout) -> Program:
    config = _kubeconfig(cluster, "system:kube-scheduler")
    return Program("kube-scheduler", (
        f"{cluster.folder}/binaries/kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false", "--port=0",
        "--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--cert-dir={cluster.folder}/pki-scheduler",
    ))  # fmt: skip


def controller_manager(cluster: Layout) -> Program:
    """The controller manager with shorter times than usual, so that a lost node is detected within a test."""
    folder, config = cluster.folder, _kubeconfig(cluster, "system:kube-controller-manager")
    return Program("kube-controller-manager", (
        f"{folder}/binaries/kube-controller-manager", f"--kubeconfig={config}", "--leader-elect=false", "--port=0",
        "--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--cert-dir={folder}/pki-controller-manager",
        f"--service-account-private-key-file={folder}/accounts.key", f"--root-ca-file={folder}/ca.pem",
        "--use-service-account-credentials=true", "--node-monitor-grace-period=12s", "--node-monitor-period=1s",
        "--pod-eviction-timeout=10s", "--concurrent-gc-syncs=4",
    ))  # fmt: skip


def kubelet(node: NodeLayout) -> Program:
    cluster, folder = node.cluster, node.folder
    return Program(node.kubelet, (
        f"{cluster.folder}/binaries/kubelet", f"--kubeconfig={_kubeconfig(cluster, f'system:node:{node.name}')}",
        f"--hostname-override={node.name}", f"--node-ip={node.address}", "--container-runtime=docker",
        # without the second option it measures no Pod, and evicts none for its usage
        f"--docker-endpoint=unix://{node.docker}", f"--docker=unix://{node.docker}",
        f"--container-runtime-endpoint=unix://{folder}/dockershim.sock",
        "--pod-infra-container-image=greenroom/pause:1", f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/pki",
        "--cgroups-per-qos=false", "--enforce-node-allocatable=", "--cgroup-driver=cgroupfs", "--fail-swap-on=false",
        "--image-gc-high-threshold=100", f"--experimental-dockershim-root-directory={folder}/dockershim",
        f"--volume-plugin-dir={folder}/plugins", f"--config={_kubelet_config(folder)}", "--max-pods=110",
        "--node-labels=greenroom.io/test-node=" + node.letter, "--feature-gates=DevicePlugins=false",
        f"--cluster-dns={cluster.host}", f"--cluster-domain={DOMAIN}", f"--resolv-conf={cluster.folder}/resolv.conf",
        "--eviction-hard=memory.available<50Mi", "--kube-reserved=",
        "--minimum-container-ttl-duration=0s", "--sync-frequency=10s", "--registry-qps=0", "--event-qps=0",
    ), node)  # fmt: skip


def _kubelet_config(folder: Path) -> Path:
    """The settings without an option: the reporting interval, so that a lost node is detected soon and a slow one is
    not lost."""
    file = folder / "kubelet.json"
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "nodeStatusUpdateFrequency": "3s",
        "nodeStatusReportFrequency": "3s",
        "nodeLeaseDurationSeconds": 12,
        "volumeStatsAggPeriod": "10s",
        "authentication": {"anonymous": {"enabled": True}},
        "authorization": {"mode": "AlwaysAllow"},
    }
    file.write_text(json.dumps(config))
    return file


def proxy(node: NodeLayout) -> Program:
    """kube-proxy, which implements the addresses of Services in the node."""
    cluster = node.cluster
    return Program(f"kube-proxy-{node.letter}", (
        f"{cluster.folder}/binaries/kube-proxy", f"--kubeconfig={cluster.kubeconfig}", "--proxy-mode=iptables",
        f"--hostname-override={node.name}", f"--cluster-cidr={cluster.pods}", "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
        "--iptables-min-sync-period=0s", "--healthz-bind-address=127.0.0.1:10256",
    ), node)  # fmt: skip


def network_policies(node: NodeLayout) -> Program:
    """The program that enforces NetworkPolicies in the node."""
    cluster = node.cluster
    return Program(f"network-policies-{node.letter}", (
        "env", f"PYTHONPATH={Path(__file__).parents[3]}", sys.executable, "-m",
        "tests.support.kubernetes.network_policies", str(cluster.kubeconfig), node.name, str(node.policies),
    ), node)  # fmt: skip


def names(cluster: Layout) -> Program:
    """The name server for Services, with the files in `names/`: no controller of this cluster writes them."""
    return Program("dnsmasq", (
        "/usr/sbin/dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--no-daemon", "--user=root",
        f"--hostsdir={cluster.folder}/names", f"--listen-address={cluster.host}", "--bind-interfaces", "--port=53",
        f"--local=/{DOMAIN}/", "--conf-file=/dev/null", "--local-ttl=1", f"--pid-file={cluster.folder}/dnsmasq.pid",
    ))  # fmt: skip
