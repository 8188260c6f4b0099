"""The Docker networks of sessions under a web filter. Each Agent has one internal network per web filter policy.

In an internal network, containers can reach only this host, and the rules of `firewall` allow only the port of the
filter. Docker publishes no ports in such networks, so this host reaches a page at the address of its container.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import aiodocker

from greenroom.core.named_secrets import TRUST_VARIABLES
from greenroom.core.web_filter import FILTER_PORT, proxy_variables
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import FilterAccount, FilterNetwork, StartError
from greenroom.runtimes.contract.containers import AGENT, INSTALLATION
from greenroom.runtimes.docker import firewall
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import NETWORKS_FULL, NO_ADDRESSES_TEXT
from greenroom.runtimes.docker.firewall import account_rules, network_rules
from greenroom.runtimes.docker.networks import OPTION_PREFIX, create_bridge, remove_bridge
from greenroom.runtimes.docker.spec import PAGE_PORT, POLICY, ContainerOwner


@dataclass(frozen=True, slots=True)
class _Network:
    network_id: str
    name: str
    bridge: str
    filter_network: FilterNetwork


def network_name(owner: ContainerOwner, policy_id: str) -> str:
    """Return the name of the network, with the first 8 hex digits of the ids of the Agent and the policy."""
    return f"{owner.network}-web-{owner.agent_id[:8]}-{policy_id[:8]}"


def bridge_name(owner: ContainerOwner, policy_id: str) -> str:
    """Return the name of the network's interface on the host (at most 15 characters)."""
    digest = hashlib.sha256(f"{owner.agent_id}/{policy_id}".encode()).hexdigest()
    return f"gw-{digest[:12]}"


class FilterNetworks:
    """The networks of one Agent. A network is open after this process has called `open` for its policy."""

    def __init__(self, owner: ContainerOwner) -> None:
        self._owner = owner
        self._open: dict[str, FilterNetwork] = {}
        self._policies_with_authority: set[str] = set()

    async def open(
        self, docker: aiodocker.Docker, policy_id: str, account: FilterAccount, *, trusts_authority: bool
    ) -> FilterNetwork:
        self._open.pop(policy_id, None)
        if trusts_authority:
            self._policies_with_authority.add(policy_id)
        else:
            self._policies_with_authority.discard(policy_id)
        network = await self._find(docker, policy_id) or await self._create(docker, policy_id)
        try:
            rules = network_rules(self._owner, network.bridge, network.filter_network.address, FILTER_PORT)
            for rule_set in (*account_rules(self._owner, account), *rules):
                await firewall.apply_rules(rule_set)
        except firewall.FirewallError as error:
            raise StartError(
                f"The web filter cannot be enforced on this host, because its firewall rules cannot be set: {error}."
            ) from error
        self._open[policy_id] = network.filter_network
        return network.filter_network

    async def close(self, docker: aiodocker.Docker, policy_id: str) -> bool:
        network = await self._find(docker, policy_id)
        is_removed = network is None or await _remove(docker, self._owner, network)
        if is_removed:
            self._open.pop(policy_id, None)
            self._policies_with_authority.discard(policy_id)
        return is_removed

    async def all(self, docker: aiodocker.Docker) -> list[FilterNetwork]:
        return [network.filter_network for network in await _list_networks(docker, f"{AGENT}={self._owner.agent_id}")]

    async def remove_all(self, docker: aiodocker.Docker) -> None:
        """Remove the networks of all Agents of the installation, and the rules of the filter's account.

        Raises:
            StartError: containers are still on a network, or the rules cannot be removed.
        """
        self._open.clear()
        for network in await _all_of_installation(docker, self._owner):
            await _remove_or_raise(docker, self._owner, network)
        await _remove_rules(account_rules(self._owner))

    def with_filter(self, spec: SessionSpec, config: DockerJson) -> DockerJson:
        """Return the configuration of a container, changed to use a web filter if the specification has a policy.

        Raises:
            StartError: the network of the policy is not open.
        """
        if spec.filter_policy is None:
            return config
        name = network_name(self._owner, spec.filter_policy)
        trusts_authority = spec.filter_policy in self._policies_with_authority
        network = self._require_network(spec.filter_policy)
        return use_filter(config, name, network, spec.port, trusts_authority=trusts_authority)

    def require_open(self, labels: Mapping[str, str]) -> None:
        """Raise StartError if the container has a policy whose network is not open."""
        if policy_id := labels.get(POLICY):
            self._require_network(policy_id)

    def _require_network(self, policy_id: str) -> FilterNetwork:
        network = self._open.get(policy_id)
        if network is None:
            raise StartError(f"The network of web filter policy {policy_id} is not open on this host.")
        return network

    async def _find(self, docker: aiodocker.Docker, policy_id: str) -> _Network | None:
        networks = await _list_networks(docker, f"{AGENT}={self._owner.agent_id}", f"{POLICY}={policy_id}")
        return networks[0] if networks else None

    async def _create(self, docker: aiodocker.Docker, policy_id: str) -> _Network:
        owner = self._owner
        labels = {INSTALLATION: owner.installation_id, AGENT: owner.agent_id, POLICY: policy_id}
        name, bridge = network_name(owner, policy_id), bridge_name(owner, policy_id)
        try:
            await create_bridge(docker, name, bridge, labels, Internal=True)
        except aiodocker.DockerError as error:
            if NO_ADDRESSES_TEXT in error.message:
                raise StartError(f"{NETWORKS_FULL}.") from error
            raise
        created = await self._find(docker, policy_id)
        if created is None:
            raise StartError("The network of the web filter was removed during its creation.")
        return created


async def remove_network(docker: aiodocker.Docker, owner: ContainerOwner, network_id: str) -> None:
    """Remove a network of any Agent of the installation, with its rules. A missing network is no error.

    Raises:
        StartError: the network still has containers, or its rules cannot be removed.
    """
    for network in await _all_of_installation(docker, owner):
        if network.network_id == network_id:
            await _remove_or_raise(docker, owner, network)


async def _all_of_installation(docker: aiodocker.Docker, owner: ContainerOwner) -> list[_Network]:
    return await _list_networks(docker, f"{INSTALLATION}={owner.installation_id}")


async def _remove_or_raise(docker: aiodocker.Docker, owner: ContainerOwner, network: _Network) -> None:
    if not await _remove(docker, owner, network):
        raise StartError(f"The network {network.name} still has containers; remove them first.")


async def _list_networks(docker: aiodocker.Docker, *labels: str) -> list[_Network]:
    entries: list[DockerJson] = await docker.networks.list(filters={"label": [*labels, POLICY]})
    return [_parse_network(entry) for entry in entries]


async def _remove(docker: aiodocker.Docker, owner: ContainerOwner, network: _Network) -> bool:
    """Remove a network with its rules. Return False and keep both if the network still has containers."""
    if await remove_bridge(docker, network.name):
        return False
    await _remove_rules(network_rules(owner, network.bridge, network.filter_network.address, FILTER_PORT))
    return True


async def _remove_rules(all_rules: list[firewall.Rules]) -> None:
    try:
        for rules in all_rules:
            await firewall.remove_rules(rules)
    except firewall.FirewallError as error:
        raise StartError(f"The firewall rules of the web filter cannot be removed: {error}.") from error


def _parse_network(entry: DockerJson) -> _Network:
    address: dict[str, str] = entry["IPAM"]["Config"][0]
    filter_network = FilterNetwork(
        policy_id=entry["Labels"][POLICY], address=address["Gateway"], subnet=address["Subnet"]
    )
    return _Network(entry["Id"], entry["Name"], entry["Options"][f"{OPTION_PREFIX}.bridge.name"], filter_network)


def use_filter(
    config: DockerJson, name: str, network: FilterNetwork, page_port: int, *, trusts_authority: bool = False
) -> DockerJson:
    """Return a container's configuration with the network `name` as its only network, and the filter as its proxy.
    `trusts_authority` adds the variables with which programs trust the certificate authority of the filter.

    The session needs no name server, because the filter resolves names. Therefore the name server is an address of the
    host at which no server answers.
    """
    variables = proxy_variables(network.address) | (TRUST_VARIABLES if trusts_authority else {})
    other_variables = [entry for entry in config["Env"] if entry.partition("=")[0] not in variables]
    return {
        **config,
        "Env": [*other_variables, *(f"{variable}={value}" for variable, value in variables.items())],
        "Labels": {**config["Labels"], POLICY: network.policy_id, PAGE_PORT: str(page_port)},
        "HostConfig": {**config["HostConfig"], "NetworkMode": name, "PortBindings": {}, "Dns": [network.address]},
        "NetworkingConfig": {"EndpointsConfig": {name: {}}},
    }
