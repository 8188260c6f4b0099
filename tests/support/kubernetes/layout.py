"""The folders and addresses of a test cluster and its two nodes. This module starts and changes nothing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NODES: Final = ("a", "b")
DOMAIN: Final = "cluster.local"


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of the cluster with this number: several may run on one machine, each with separate addresses.

    The networks are in kernel namespaces that belong to the cluster; one address is on the machine itself.
    """

    number: int

    @property
    def name(self) -> str:
        return f"grk{self.number}"

    @property
    def folder(self) -> Path:
        return Path(tempfile.gettempdir()) / f"greenroom-kubernetes-{self.number}"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of an administrator of the cluster."""
        return self.folder / "kubeconfig"

    @property
    def host(self) -> str:
        """The machine's address for nodes and Pods; the API server listens on it."""
        return f"10.77.{self.number}.1"

    @property
    def server(self) -> str:
        return f"https://{self.host}:6443"

    @property
    def services(self) -> str:
        """The network of the Services' addresses."""
        return f"10.79.{self.number}.0/24"

    @property
    def pods(self) -> str:
        """The networks of all nodes' Pods."""
        return f"10.78.{self.number * 4}.0/22"

    def node(self, letter: str) -> NodeLayout:
        return NodeLayout(self, letter)

    @property
    def nodes(self) -> tuple[NodeLayout, ...]:
        return tuple(self.node(letter) for letter in NODES)

    def running(self, program: str) -> Path:
        """The file with the pid of a program of the cluster while it runs."""
        return self.folder / "running" / program

    def held(self, program: str) -> Path:
        """While this file exists the program is not run: it is killed, and started again once the file is gone."""
        return self.folder / "held" / program


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """A node: a dockerd and a kubelet with separate network, mounts and processes."""

    cluster: Layout
    letter: str

    @property
    def name(self) -> str:
        return f"{self.cluster.name}{self.letter}"

    @property
    def folder(self) -> Path:
        return self.cluster.folder / self.letter

    @property
    def _index(self) -> int:
        return NODES.index(self.letter)

    @property
    def address(self) -> str:
        return f"10.77.{self.cluster.number}.{11 + self._index}"

    @property
    def pods(self) -> str:
        """The network of its Pods."""
        return f"10.78.{self.cluster.number * 4 + 1 + self._index}.0/24"

    @property
    def bridge_address(self) -> str:
        return f"{self.pods.removesuffix('0/24')}1/24"

    @property
    def docker(self) -> Path:
        """The socket of its dockerd."""
        return self.folder / "docker.sock"

    @property
    def policies(self) -> Path:
        """The last state of the program that enforces NetworkPolicies: on, off."""
        return self.cluster.folder / f"policies-{self.letter}"

    @property
    def kubelet(self) -> str:
        """The name of the program, as in `Layout.held`."""
        return f"kubelet-{self.letter}"
