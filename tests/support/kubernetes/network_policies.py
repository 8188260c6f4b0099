"""Enforces the NetworkPolicies of a test cluster on one node, like a network plugin on each node of a real cluster.

`python -m tests.support.kubernetes.network_policies KUBECONFIG NODE STATE`, in the node's network. It follows Pods,
namespaces and policies, and writes rules for the traffic of the node's Pods; its last state is in the file STATE.
Named ports and IPv6 are not supported.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2

KINDS: Final = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
OFF: Final = "policies-off"
"""A file next to STATE: while it exists no policy is enforced, as on a cluster without such a plugin."""
CHAIN: Final = "GR-POLICIES"
EVERYONE: Final = "0.0.0.0/0"


class Rules:
    """The rules of a node for the current objects. `seen` has the objects of each of `KINDS`."""

    def __init__(self, seen: dict[str, list[dict[str, Any]]], node: str) -> None:
        self._pods = [pod for pod in seen["pods"] if _has_own_address(pod)]
        self._namespaces = {one["metadata"]["name"]: _labels(one) for one in seen["namespaces"]}
        self._policies = seen["policies"]
        self._node = node

    def text(self) -> str:
        """The input of iptables-restore: a chain for each direction of each Pod of the node that a policy selects."""
        chains: list[str] = []
        rules = [f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"]
        for pod in self._pods:
            if pod["spec"].get("nodeName") != self._node:
                continue
            for direction, own, other in (("Egress", "-s", "-d"), ("Ingress", "-d", "-s")):
                policies = [one for one in self._policies if self._selects(one, pod) and direction in _types(one)]
                if not policies:
                    continue
                chain = f"GR-{direction[0]}-{len(chains)}"
                chains.append(chain)
                rules.append(f"-A {CHAIN} {own} {pod['status']['podIP']}/32 -j {chain}")
                rules += [
                    f"-A {chain} {other} {peer}{port} -j RETURN"
                    for policy in policies
                    for rule in policy["spec"].get(direction.lower(), [])
                    for peer in self._peers(policy, rule.get("to" if direction == "Egress" else "from"))
                    for port in _ports(rule.get("ports"))
                ]
                rules.append(f"-A {chain} -j DROP")
        heads = [f":{chain} - [0:0]" for chain in (CHAIN, *chains)]
        return "\n".join(["*mangle", *heads, *rules, "COMMIT", ""])

    def _selects(self, policy: dict[str, Any], pod: dict[str, Any]) -> bool:
        same = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        return same and _matches(policy["spec"].get("podSelector") or {}, _labels(pod))

    def _peers(self, policy: dict[str, Any], peers: list[dict[str, Any]] | None) -> Iterator[str]:
        """The networks of the peers; all networks if the rule names none."""
        if not peers:
            yield EVERYONE
        for peer in peers or []:
            if "ipBlock" in peer:
                yield from _block(peer["ipBlock"])
            else:
                yield from self._addresses(policy, peer)

    def _addresses(self, policy: dict[str, Any], peer: dict[str, Any]) -> Iterator[str]:
        for pod in self._pods:
            namespace = pod["metadata"]["namespace"]
            if "namespaceSelector" in peer:
                named = {**self._namespaces.get(namespace, {}), "kubernetes.io/metadata.name": namespace}
                if not _matches(peer["namespaceSelector"], named):
                    continue
            elif namespace != policy["metadata"]["namespace"]:
                continue
            if _matches(peer.get("podSelector") or {}, _labels(pod)):
                yield f"{pod['status']['podIP']}/32"


def _has_own_address(pod: dict[str, Any]) -> bool:
    ended = pod["status"].get("phase") in {"Succeeded", "Failed"}
    return bool(pod["status"].get("podIP")) and not ended and not pod["spec"].get("hostNetwork")


def _labels(one: dict[str, Any]) -> dict[str, str]:
    return one["metadata"].get("labels") or {}


def _types(policy: dict[str, Any]) -> list[str]:
    found: list[str] = policy["spec"].get("policyTypes") or []
    return found


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        {
            "In": labels.get(one["key"]) in one.get("values", []),
            "NotIn": labels.get(one["key"]) not in one.get("values", []),
            "Exists": one["key"] in labels,
            "DoesNotExist": one["key"] not in labels,
        }[one["operator"]]
        for one in selector.get("matchExpressions") or []
    )


def _block(block: dict[str, Any]) -> Iterator[str]:
    """A network without its exceptions."""
    if ":" in block["cidr"]:
        return
    left = [ipaddress.IPv4Network(block["cidr"])]
    for text in block.get("except") or []:
        hole = ipaddress.IPv4Network(text)
        left = [
            part
            for network in left
            for part in (network.address_exclude(hole) if hole.subnet_of(network) else [network])
        ]
    yield from map(str, left)


def _ports(ports: list[dict[str, Any]] | None) -> Iterator[str]:
    """The end of a rule for each port; an empty end if the rule names none."""
    for port in ports or []:
        number = f" --dport {port['port']}" if "port" in port else ""
        yield f" -p {port.get('protocol', 'TCP').lower()}{number}"
    if not ports:
        yield ""


class Followed:
    """The current objects of a kind."""

    def __init__(self, client: httpx2.Client, path: str, changed: threading.Event) -> None:
        self._client = client
        self._path = path
        self._changed = changed
        self._objects: dict[str, dict[str, Any]] | None = None
        threading.Thread(target=self._follow, daemon=True).start()

    def objects(self) -> list[dict[str, Any]] | None:
        """The objects; None if they are not known yet."""
        return None if self._objects is None else list(self._objects.values())

    def _follow(self) -> None:
        while True:
            try:
                self._once()
            except (httpx2.HTTPError, KeyError, ValueError):
                time.sleep(0.3)  # the server is unavailable, or no longer has the version

    def _once(self) -> None:
        listing = self._client.get(self._path).raise_for_status().json()
        found = {one["metadata"]["uid"]: one for one in listing["items"]}
        self._objects = found
        self._changed.set()
        watch = {"watch": "1", "timeoutSeconds": "60", "resourceVersion": listing["metadata"]["resourceVersion"]}
        with self._client.stream("GET", self._path, params=watch, timeout=70) as answer:
            for line in answer.iter_lines():
                change = json.loads(line)
                one, uid = change["object"], change["object"]["metadata"]["uid"]
                self._objects = found = {**found, uid: one}
                if change["type"] == "DELETED":
                    del found[uid]
                self._changed.set()


def main() -> None:
    """Enforce policies forever."""
    config, node, state = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], Path(sys.argv[3])
    cluster = config["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=str(Path(sys.argv[1]).with_name("ca.pem")))
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    client = httpx2.Client(base_url=cluster["server"], verify=context, headers=headers, trust_env=False, timeout=10)
    changed = threading.Event()
    followed = {kind: Followed(client, path, changed) for kind, path in KINDS.items()}
    subprocess.run(["iptables", "-w", "-t", "mangle", "-N", CHAIN], check=False, capture_output=True)
    for hook in ("FORWARD", "INPUT"):
        jump = ["iptables", "-w", "-t", "mangle", "-C", hook, "-j", CHAIN]
        if subprocess.run(jump, check=False, capture_output=True).returncode:
            subprocess.run([word.replace("-C", "-I") for word in jump], check=True)
    before = ""
    while True:
        changed.wait(0.2)
        changed.clear()
        seen = {kind: one.objects() for kind, one in followed.items()}
        known = {kind: objects for kind, objects in seen.items() if objects is not None}
        if len(known) < len(KINDS):
            continue
        is_off = state.with_name(OFF).exists()
        text = f"*mangle\n:{CHAIN} - [0:0]\nCOMMIT\n" if is_off else Rules(known, node).text()
        if text != before:
            subprocess.run(["iptables-restore", "-w", "--noflush"], input=text, text=True, check=True)
            before = text
        if (said := "off" if is_off else "on") != (state.read_text() if state.exists() else ""):
            state.write_text(said)


if __name__ == "__main__":
    main()
