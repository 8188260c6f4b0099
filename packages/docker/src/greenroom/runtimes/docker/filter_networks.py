"""The networks of sessions under a web filter: one for each policy of each Agent, without a route out (`--internal`).

From such a network Docker lets sessions reach only this host; the rules (`firewall`) allow only the filter's port on
it. Ports are not published on such networks, so a session's page is reached at the container's own address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import aiodocker

from greenroom.core.named_secrets import VARIABLES
from greenroom.core.web_filter import PORT, proxy_variables
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import FilterAccount, FilterNetwork, StartError
from greenroom.runtimes.contract.containers import AGENT, INSTALLATION
from greenroom.runtimes.docker import firewall
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import NETWORKS_FULL, NO_ADDRESSES
from greenroom.runtimes.docker.firewall import account_rules, network_rules
from greenroom.runtimes.docker.networks import OPTION, create_bridge, remove_bridge
from greenroom.runtimes.docker.spec import PAGE_PORT, POLICY, ContainerOwner


@dataclass(frozen=True, slots=True)
class _Network:
    network_id: str
    name: str
    bridge: str
    seen: FilterNetwork


def network_name(identity: ContainerOwner, policy_id: str) -> str:
    """Name of the network; agent and policy by the first 8 hex digits of their ids."""
    return f"{identity.network}-web-{identity.agent_id[:8]}-{policy_id[:8]}"


def bridge_name(identity: ContainerOwner, policy_id: str) -> str:
    """The name of the network's interface on the host (at most 15 characters)."""
    digest = hashlib.sha256(f"{identity.agent_id}/{policy_id}".encode()).hexdigest()
    return f"gw-{digest[:12]}"


class FilterNetworks:
    """The networks of one Agent. A network counts as open only after `open` restricted it in this process."""

    def __init__(self, identity: ContainerOwner) -> None:
        self._identity = identity
        self._open: dict[str, FilterNetwork] = {}
        self._believed: set[str] = set()

    async def open(
        self, docker: aiodocker.Docker, policy_id: str, account: FilterAccount, *, believed: bool
    ) -> FilterNetwork:
        self._open.pop(policy_id, None)
        (self._believed.add if believed else self._believed.discard)(policy_id)
        network = await self._find(docker, policy_id) or await self._make(docker, policy_id)
        try:
            rules = network_rules(self._identity, network.bridge, network.seen.address, PORT)
            for each in (*account_rules(self._identity, account), *rules):
                await firewall.apply_rules(each)
        except firewall.FirewallError as error:
            raise StartError(
                f"The web filter cannot be enforced on this host, because its firewall rules cannot be set: {error}."
            ) from error
        self._open[policy_id] = network.seen
        return network.seen

    async def close(self, docker: aiodocker.Docker, policy_id: str) -> bool:
        network = await self._find(docker, policy_id)
        closed = network is None or await _remove(docker, self._identity, network)
        if closed:
            self._open.pop(policy_id, None)
            self._believed.discard(policy_id)
        return closed

    async def all(self, docker: aiodocker.Docker) -> list[FilterNetwork]:
        return [network.seen for network in await _all(docker, f"{AGENT}={self._identity.agent_id}")]

    async def remove_all(self, docker: aiodocker.Docker) -> None:
        """Remove the networks of all Agents of the installation, and the rules of the filter's account.

        Raises:
            StartError: containers are still on a network, or the rules cannot be removed.
        """
        self._open.clear()
        for network in await _all_of(docker, self._identity):
            await _remove_or_say(docker, self._identity, network)
        await _take(account_rules(self._identity))

    def applied(self, spec: SessionSpec, config: DockerJson) -> DockerJson:
        """A container's configuration, behind the filter if its specification has a policy.

        Raises:
            StartError: the policy's network is not open.
        """
        if spec.filter_policy is None:
            return config
        name = network_name(self._identity, spec.filter_policy)
        network, believed = self._of(spec.filter_policy), spec.filter_policy in self._believed
        return behind_filter(config, name, network, spec.port, believed=believed)

    def require_open(self, labels: Mapping[str, str]) -> None:
        """Check that the network is open. Raises StartError: the network of the container's policy is not open."""
        if policy_id := labels.get(POLICY):
            self._of(policy_id)

    def _of(self, policy_id: str) -> FilterNetwork:
        network = self._open.get(policy_id)
        if network is None:
            raise StartError(f"The network of web filter policy {policy_id} is not open on this host.")
        return network

    async def _find(self, docker: aiodocker.Docker, policy_id: str) -> _Network | None:
        found = await _all(docker, f"{AGENT}={self._identity.agent_id}", f"{POLICY}={policy_id}")
        return found[0] if found else None

    async def _make(self, docker: aiodocker.Docker, policy_id: str) -> _Network:
        identity = self._identity
        labels = {INSTALLATION: identity.installation_id, AGENT: identity.agent_id, POLICY: policy_id}
        name, bridge = network_name(identity, policy_id), bridge_name(identity, policy_id)
        try:
            await create_bridge(docker, name, bridge, labels, Internal=True)
        except aiodocker.DockerError as error:
            if NO_ADDRESSES in error.message:
                raise StartError(f"{NETWORKS_FULL}.") from error
            raise
        made = await self._find(docker, policy_id)
        if made is None:
            raise StartError("The network of the web filter was removed during its creation.")
        return made


async def remove_network(docker: aiodocker.Docker, identity: ContainerOwner, network_id: str) -> None:
    """Remove a network of the installation, of any Agent, with its rules; a missing one is success.

    Raises:
        StartError: containers are still on it, or its rules cannot be removed.
    """
    for network in await _all_of(docker, identity):
        if network.network_id == network_id:
            await _remove_or_say(docker, identity, network)


async def _all_of(docker: aiodocker.Docker, identity: ContainerOwner) -> list[_Network]:
    return await _all(docker, f"{INSTALLATION}={identity.installation_id}")


async def _remove_or_say(docker: aiodocker.Docker, identity: ContainerOwner, network: _Network) -> None:
    if not await _remove(docker, identity, network):
        raise StartError(f"The network {network.name} still has containers; remove them first.")


async def _all(docker: aiodocker.Docker, *labels: str) -> list[_Network]:
    entries: list[DockerJson] = await docker.networks.list(filters={"label": [*labels, POLICY]})
    return [_network(entry) for entry in entries]


async def _remove(docker: aiodocker.Docker, identity: ContainerOwner, network: _Network) -> bool:
    """Remove a network with its rules; return False and keep both if containers are still on it."""
    if await remove_bridge(docker, network.name):
        return False
    await _take(network_rules(identity, network.bridge, network.seen.address, PORT))
    return True


async def _take(all_rules: list[firewall.Rules]) -> None:
    try:
        for rules in all_rules:
            await firewall.remove_rules(rules)
    except firewall.FirewallError as error:
        raise StartError(f"The firewall rules of the web filter cannot be removed: {error}.") from error


def _network(entry: DockerJson) -> _Network:
    address: dict[str, str] = entry["IPAM"]["Config"][0]
    seen = FilterNetwork(policy_id=entry["Labels"][POLICY], address=address["Gateway"], subnet=address["Subnet"])
    return _Network(entry["Id"], entry["Name"], entry["Options"][f"{OPTION}.bridge.name"], seen)


def behind_filter(
    config: DockerJson, name: str, network: FilterNetwork, page_port: int, *, believed: bool = False
) -> DockerJson:
    """A container's configuration with the policy's network as its only one, and the filter as its proxy. `believed`
    adds the variables of the filter's authority, if the filter opens connections.

    DNS is set to the host's address, where nothing answers: the filter resolves names.
    """
    variables = proxy_variables(network.address) | (VARIABLES if believed else {})
    kept = [entry for entry in config["Env"] if entry.partition("=")[0] not in variables]
    return {
        **config,
        "Env": [*kept, *(f"{name}={value}" for name, value in variables.items())],
        "Labels": {**config["Labels"], POLICY: network.policy_id, PAGE_PORT: str(page_port)},
        "HostConfig": {**config["HostConfig"], "NetworkMode": name, "PortBindings": {}, "Dns": [network.address]},
        "NetworkingConfig": {"EndpointsConfig": {name: {}}},
    }
