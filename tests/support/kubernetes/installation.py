"""Greenroom on the test cluster, installed as a reader of docs/howto/kubernetes.md does."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from tests.support.kubernetes.cluster import ROOT, Cluster, Node

NAMESPACE: Final = "greenroom"
DATABASE_ACCOUNT: Final = 38182
"""The account in the image greenroom/db."""
OLDER: Final = {
    "parts/roles/budgets.yaml": ("policy/v1", "policy/v1beta1"),
    "parts/pods/budget.yaml": ("policy/v1", "policy/v1beta1"),
    "parts/roles/kustomization.yaml": (
        "desktop_image=greenroom/desktop:xfce",
        "desktop_image=greenroom/desktop:openbox",
    ),
}
"""File of deploy/kubernetes → (text, its replacement) for a reader with Kubernetes 1.20 and the light desktop."""
DNS: Final = (
    "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels:"
    " {k8s-app: kube-dns}}}"
)
"""The selector of the name server; on this cluster it is no Pod."""


def give_address(cluster: Cluster, namespace: str, service: str, address: str) -> None:
    """Simulate a cloud's Service of the type LoadBalancer: this address of a node leads to the Service."""
    patch = json.dumps({"spec": {"externalIPs": [address]}})
    cluster.kubectl("patch", "service", service, f"--namespace={namespace}", "--patch", patch)


def _on(node: Node) -> dict[str, Any]:
    """The node of the database, so that tests may lose the other node."""
    return {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}]}


class Names:
    """Publishes the names of a namespace's Services whenever their Pods change, until `end`."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        argv = [f"{cluster.layout.folder}/binaries/kubectl", f"--kubeconfig={cluster.kubeconfig}", "get", "endpoints"]
        argv += [f"--namespace={namespace}", "--watch", "--output=name"]
        self._changes = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._changes.kill()
        self._changes.wait()
        self._thread.join()

    def _publish(self) -> None:
        assert self._changes.stdout is not None
        for _ in self._changes.stdout:
            try:
                self._cluster.publish_services(self._namespace)
            except RuntimeError as error:  # the namespace is being deleted
                sys.stderr.write(f"names of Services were not published: {error}\n")


class Installation:
    """The reader's machine, with a separate folder, and the reader's objects on the cluster.

    It adds the parts that a production cluster has: names of Services, a volume, and a load balancer, which is
    the first node.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.host = cluster.nodes[0].address
        self._volume = f"{cluster.layout.name}-database"
        self._names: Names | None = None

    @property
    def is_reachable(self) -> bool:
        """True if there is a load balancer."""
        return self._names is not None

    def prepare(self) -> None:
        """Copy the manifests, and create the parts that the cluster lacks."""
        checkout = self.folder / "deploy/kubernetes"
        shutil.copytree(ROOT / "deploy/kubernetes", checkout)
        name_server = f"{{ipBlock: {{cidr: {self.cluster.host}/32}}}}"
        for name, (ours, theirs) in {**OLDER, "parts/namespace/network.yaml": (DNS, name_server)}.items():
            text = (checkout / name).read_text()
            assert ours in text, f"{name} has no {ours} any more"
            (checkout / name).write_text(text.replace(ours, theirs))
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "greenroom").symlink_to(Path(sys.executable).with_name("greenroom"))
        (programs / "kubectl").symlink_to(self.cluster.layout.folder / "binaries/kubectl")
        data = self.folder / "database"
        data.mkdir(mode=0o700)
        os.chown(data, DATABASE_ACCOUNT, DATABASE_ACCOUNT)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": self._volume},
            "spec": {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(data)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [_on(self.cluster.nodes[0])]}},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }
        self.cluster.apply(volume, namespace="default")

    def remove(self) -> None:
        """Remove all remaining objects, after or including the namespace."""
        if self.cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
            self.kubectl("delete", "deployments,statefulsets,jobs", "--all")
            self.kubectl("delete", "pods", "--all", "--grace-period=0", "--force")  # a gateway may have twelve hours
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_s=400)
        self.cluster.kubectl("delete", "persistentvolume", self._volume, "--ignore-not-found")
        if self._names is not None:
            self._names.end()

    def balance_load(self) -> None:
        """Simulate a cloud's load balancer for the gateway's Service, and publish the names of all Services from now
        on."""
        give_address(self.cluster, NAMESPACE, "kasm-proxy", self.host)
        self._names = Names(self.cluster, NAMESPACE)

    # Steps of the reader --------------------------------------------------------------------------------------------

    def type(self, commands: str, timeout_s: float = 400.0) -> str:
        """Run command lines on a terminal in the reader's folder; each must succeed. Returns their output."""
        ours, theirs = pty.openpty()
        argv = ["timeout", str(timeout_s), "bash", "-euo", "pipefail", "-c", commands]
        process = subprocess.Popen(
            argv, cwd=self.folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the end of the terminal
            while chunk := os.read(ours, 4096):
                said += chunk
        os.close(ours)
        text = said.decode(errors="replace").replace("\r", "")
        assert process.wait() == 0, f"{commands}\n{text}{self.state()}"
        return text

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the reader's shell."""
        found = {
            **os.environ,
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "COLUMNS": "120",
        }
        if self._credentials.exists():
            key, secret = self.key
            found |= {"GREENROOM_URL": self.url, "GREENROOM_CA_FILE": str(self.folder / "greenroom-keys/ca.pem")}
            found |= {"GREENROOM_KEY": key, "GREENROOM_SECRET": secret}
        return found

    def kubectl(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run `kubectl --namespace=greenroom …`."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *arguments, timeout_s=timeout_s)

    def pods(self, role: str) -> list[dict[str, Any]]:
        """The Pods of a role, including those that are ending."""
        label = f"--selector=app.kubernetes.io/name={role}"
        found: list[dict[str, Any]] = self.cluster.get("pods", label, f"--namespace={NAMESPACE}")["items"]
        return found

    def state(self) -> str:
        """The objects and the last log lines of the roles, for the message of a failed test."""
        said = ["", self.kubectl("get", "pods", "--output=wide")]
        for role in ("kasm-db", "kasm-migrate", "kasm-api", "kasm-manager", "kasm-proxy", "kasm-agent"):
            with contextlib.suppress(RuntimeError):  # it has not started
                said.append(self.kubectl("logs", f"--selector=app.kubernetes.io/name={role}", "--tail=15", "--prefix"))
        said.append(self.kubectl("get", "events", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"))
        return "\n".join(said)

    # Actions of users and programs ----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL of the console."""
        return f"https://{self.host}:8443"

    @property
    def _credentials(self) -> Path:
        return self.folder / "greenroom-keys/installation/credentials.json"

    @property
    def key(self) -> tuple[str, str]:
        """The first API key and its secret."""
        stored = json.loads(self._credentials.read_text())
        return stored["api_key"], stored["api_key_secret"]

    def ca(self) -> ssl.SSLContext:
        """A TLS context that trusts only the installation's authority."""
        return ssl.create_default_context(cafile=self.folder / "greenroom-keys/ca.pem")

    @contextmanager
    def http(self) -> Iterator[httpx2.Client]:
        """A client of its gateway with the first key."""
        with httpx2.Client(base_url=self.url, verify=self.ca(), auth=self.key, timeout=30, trust_env=False) as client:
            yield client

    def answers(self) -> bool:
        """True if a working api is reachable."""
        try:
            with self.http() as client:
                return client.get("/api/v1/zones").is_success
        except httpx2.TransportError:
            return False

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to /api/v1 that must succeed; returns its JSON, None without content."""
        with self.http() as client:
            answer = client.request(method, f"/api/v1{path}", **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
