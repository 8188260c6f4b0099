"""A test cluster for tests: its address, its nodes, and faults of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.layout import DOMAIN, Layout, NodeLayout
from tests.support.kubernetes.network_policies import OFF

ROOT: Final = Path(__file__).parents[3]
_SCRIPT: Final = ROOT / "script/kubernetes"


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Each fault is undone by the opposite method; `namespace` and `cluster` do not undo faults."""

    layout: NodeLayout

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def address(self) -> str:
        return self.layout.address

    @property
    def docker_url(self) -> str:
        """The address of its Docker daemon, for `docker --host`."""
        return f"unix://{self.layout.docker}"

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", f"--host={self.docker_url}", *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout

    def cut_link(self) -> None:
        """Disconnect the node and its Pods from the network."""
        self._link("down")

    def mend_link(self) -> None:
        self._link("up")

    def kill_kubelet(self) -> None:
        """Kill the kubelet; the Pods continue to run."""
        hold(self.layout.cluster, self.layout.kubelet)

    def start_kubelet(self) -> None:
        release(self.layout.cluster, self.layout.kubelet)

    def _link(self, state: str) -> None:
        hub = (self.layout.cluster.folder / "hub").read_text()
        argv = ["nsenter", f"--target={hub}", "--net", "ip", "link", "set", f"node-{self.layout.letter}", state]
        subprocess.run(argv, check=True)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster."""

    layout: Layout

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of an administrator."""
        return self.layout.kubeconfig

    @property
    def nodes(self) -> tuple[Node, Node]:
        first, second = self.layout.nodes
        return Node(first), Node(second)

    @property
    def host(self) -> str:
        """The address at which Pods reach servers of this machine that listen there."""
        return self.layout.host

    def node_of(self, name: str) -> Node:
        """The node with this name, as in `spec.nodeName` of a Pod."""
        return next(node for node in self.nodes if node.name == name)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60.0) -> str:
        """Run kubectl and return its output.

        Raises:
            RuntimeError: it failed; the text is its output.
        """
        argv = [f"{self.layout.folder}/binaries/kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, input=stdin, timeout=timeout_s)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """Run `kubectl get … --output=json` and return the parsed output."""
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def apply(self, *objects: dict[str, Any], namespace: str) -> None:
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=manifest)

    def load_image(self, *names: str) -> None:
        """Copy images of this machine's Docker daemon to both nodes; images that exist there are skipped."""
        wanted = [_image_id("", name) for name in names]
        missing = [node for node in self.nodes if [_image_id(node.docker_url, name) for name in names] != wanted]
        for node in missing:  # copying to both at the same time is slower
            copy = f"set -o pipefail; docker save {' '.join(names)} | docker --host={node.docker_url} load --quiet"
            subprocess.run(["bash", "-ec", copy], check=True, capture_output=True)

    def hold(self, program: str) -> None:
        """Kill a program (`kube-apiserver`, `kube-scheduler`, …) and prevent its start until `release`."""
        hold(self.layout, program)

    def release(self, program: str) -> None:
        release(self.layout, program)

    @contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """Freeze a program during the block: connections to it stay open, and nothing arrives over them."""
        pid = int(self.layout.running(program).read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def killed(self, program: str) -> Iterator[None]:
        """Keep a program killed during the block: connections to it are refused."""
        self.hold(program)
        try:
            yield
        finally:
            self.release(program)

    @contextmanager
    def namespace(self, prefix: str = "t") -> Iterator[str]:
        """A new namespace of Kubernetes with its account, deleted with its content at the end."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        try:
            _until("it has its account", lambda: self.get("serviceaccounts", f"--namespace={name}")["items"], 60.0)
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    @contextmanager
    def without_policies(self) -> Iterator[None]:
        """Disable all NetworkPolicies during the block, as with a network plugin that does not support them."""
        off = self.layout.folder / OFF
        off.touch()
        try:
            self._policies_are("off")
            yield
        finally:
            off.unlink()
            self._policies_are("on")

    def _policies_are(self, state: str) -> None:
        nodes = self.layout.nodes
        _until(f"policies are {state}", lambda: all(node.policies.read_text() == state for node in nodes), 10.0)

    def publish_services(self, namespace: str) -> None:
        """Publish the names of this namespace's Services to Pods, as a cluster's DNS does automatically.

        Services without an address get the addresses of their Pods. Must be called again when these change.
        """
        lines: list[str] = []
        for service in self.get("services", f"--namespace={namespace}")["items"]:
            name = f"{service['metadata']['name']}.{namespace}.svc.{DOMAIN}"
            address = service["spec"].get("clusterIP", "None")
            lines += [f"{address} {name}\n"] if address != "None" else self._pods_behind(name, service)
        file = self.layout.folder / "names" / namespace
        part = self.layout.folder / f"names-{namespace}.part"
        part.write_text("".join(lines))
        part.replace(file)

    def _pods_behind(self, name: str, service: dict[str, Any]) -> list[str]:
        metadata = service["metadata"]
        endpoints = self.get("endpoints", f"--namespace={metadata['namespace']}", metadata["name"])
        lines: list[str] = []
        for subset in endpoints.get("subsets", []):
            for address in [*subset.get("addresses", []), *subset.get("notReadyAddresses", [])]:
                own = f" {address['hostname']}.{name}" if "hostname" in address else ""
                lines.append(f"{address['ip']} {name}{own}\n")
        return lines


def hold(cluster: Layout, program: str) -> None:
    """Hold a program, and return when it has ended."""
    cluster.held(program).touch()
    _until(f"{program} has ended", lambda: not cluster.running(program).exists(), 30.0)


def release(cluster: Layout, program: str) -> None:
    """Release a program, and return when it runs; it may not answer yet."""
    cluster.held(program).unlink()
    _until(f"{program} runs", lambda: cluster.running(program).exists(), 30.0)


def _image_id(docker_url: str, name: str) -> str | None:
    where = [f"--host={docker_url}"] if docker_url else []
    argv = ["docker", *where, "image", "inspect", "--format={{.Id}}", name]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _until(what: str, condition: Callable[[], object], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"after {timeout_s:.0f} s it is not so that {what}")
        time.sleep(0.05)


def programs_folder() -> Path:
    """The folder of the cluster's programs.

    Raises:
        RuntimeError: they are not built; the text is an instruction.
    """
    folder = Path(subprocess.run([_SCRIPT, "folder"], check=True, capture_output=True, text=True).stdout.strip())
    if not (folder / "complete").exists():
        raise RuntimeError("the programs of the test cluster are not built yet: script/kubernetes build")
    return folder


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster for the duration of the block; KUBERNETES_CLUSTER names one that `script/kubernetes up` has started.

    Raises:
        RuntimeError: the programs are not built, or did not start; the text is an instruction.
    """
    started = os.environ.get("KUBERNETES_CLUSTER")
    if started is not None:
        yield Cluster(Layout(int(started)))
        return
    argv = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tests.support.kubernetes.supervisor"]
    supervisor = subprocess.Popen(
        [*argv, str(programs_folder() / "bin")], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert supervisor.stdout is not None
        said = supervisor.stdout.readline()
        if not said:
            raise RuntimeError("the test cluster did not start; see the output above")
        yield Cluster(Layout(int(said)))
    finally:
        supervisor.terminate()
        supervisor.wait(240)
