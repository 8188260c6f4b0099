"""The networks of sessions under a web filter. Each policy of each Agent has an internal network.

From an internal network Docker lets containers reach only this host, and the rules of `firewall` allow only the port of
the filter. Docker publishes no ports of such networks, so the page of a session has the container's address.
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
from greenroom.runtimes.docker.errors import NETWORKS_FULL, NO_ADDRESSES_TEXT
from greenroom.runtimes.docker.firewall import account_rules, network_rules
from greenroom.runtimes.docker.networks import OPTION, create_bridge, remove_bridge
from greenroom.runtimes.docker.spec import PAGE_PORT, POLICY, ContainerOwner


@dataclass(frozen=True, slots=True)
class _Network:
    network_id: str
    name: str
    bridge: str
    filter_network: FilterNetwork


def network_name(identity: ContainerOwner, policy_id: str) -> str:
    """Return the name of the network, with the first 8 hex digits of the ids of the Agent and the policy."""
    return f"{identity.network}-web-{identity.agent_id[:8]}-{policy_id[:8]}"


def bridge_name(identity: ContainerOwner, policy_id: str) -> str:
    """Return the name of the network's interface on the host (at most 15 characters)."""
    digest = hashlib.sha256(f"{identity.agent_id}/{policy_id}".encode()).hexdigest()
    return f"gw-{digest[:12]}"


class FilterNetworks:
    """The networks of one Agent. A network counts as open only after a call of `open` in this process."""

    def __init__(self, identity: ContainerOwner) -> None:
        self._identity = identity
        self._open: dict[str, FilterNetwork] = {}
        self._trusted_policies: set[str] = set()

    async def open(
        self, docker: aiodocker.Docker, policy_id: str, account: FilterAccount, *, trusts_authority: bool
    ) -> FilterNetwork:
        self._open.pop(policy_id, None)
        (self._trusted_policies.add if trusts_authority else self._trusted_policies.discard)(policy_id)
        network = await self._find(docker, policy_id) or await self._create(docker, policy_id)
        try:
            rules = network_rules(self._identity, network.bridge, network.filter_network.address, PORT)
            for rule_set in (*account_rules(self._identity, account), *rules):
                await firewall.apply_rules(rule_set)
        except firewall.FirewallError as error:
            raise StartError(
                f"The web filter cannot be enforced on this host, because its firewall rules cannot be set: {error}."
            ) from error
        self._open[policy_id] = network.filter_network
        return network.filter_network

    async def close(self, docker: aiodocker.Docker, policy_id: str) -> bool:
        network = await self._find(docker, policy_id)
        is_removed = network is None or await _remove(docker, self._identity, network)
        if is_removed:
            self._open.pop(policy_id, None)
            self._trusted_policies.discard(policy_id)
        return is_removed

    async def all(self, docker: aiodocker.Docker) -> list[FilterNetwork]:
        return [network.filter_network for network in await _all(docker, f"{AGENT}={self._identity.agent_id}")]

    async def remove_all(self, docker: aiodocker.Docker) -> None:
        """Remove the networks of all Agents of the installation, and the rules of the filter's account.

        Raises:
            StartError: containers are still on a network, or the rules cannot be removed.
        """
        self._open.clear()
        for network in await _all_of_installation(docker, self._identity):
            await _remove_or_raise(docker, self._identity, network)
        await _remove_rules(account_rules(self._identity))

    def with_filter(self, spec: SessionSpec, config: DockerJson) -> DockerJson:
        """Return the configuration of a container, changed to use the filter if the specification has a policy.

        Raises:
            StartError: the network of the policy is not open.
        """
        if spec.filter_policy is None:
            return config
        name = network_name(self._identity, spec.filter_policy)
        network, trusts_authority = (
            self._require_network(spec.filter_policy),
            spec.filter_policy in self._trusted_policies,
        )
        return behind_filter(config, name, network, spec.port, trusts_authority=trusts_authority)

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
        networks = await _all(docker, f"{AGENT}={self._identity.agent_id}", f"{POLICY}={policy_id}")
        return networks[0] if networks else None

    async def _create(self, docker: aiodocker.Docker, policy_id: str) -> _Network:
        identity = self._identity
        labels = {INSTALLATION: identity.installation_id, AGENT: identity.agent_id, POLICY: policy_id}
        name, bridge = network_name(identity, policy_id), bridge_name(identity, policy_id)
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


async def remove_network(docker: aiodocker.Docker, identity: ContainerOwner, network_id: str) -> None:
    """Remove a network of any Agent of the installation, with its rules. A missing network is no error.

    Raises:
        StartError: the network still has containers, or its rules cannot be removed.
    """
    for network in await _all_of_installation(docker, identity):
        if network.network_id == network_id:
            await _remove_or_raise(docker, identity, network)


async def _all_of_installation(docker: aiodocker.Docker, identity: ContainerOwner) -> list[_Network]:
    return await _all(docker, f"{INSTALLATION}={identity.installation_id}")


async def _remove_or_raise(docker: aiodocker.Docker, identity: ContainerOwner, network: _Network) -> None:
    if not await _remove(docker, identity, network):
        raise StartError(f"The network {network.name} still has containers; remove them first.")


async def _all(docker: aiodocker.Docker, *labels: str) -> list[_Network]:
    entries: list[DockerJson] = await docker.networks.list(filters={"label": [*labels, POLICY]})
    return [_network(entry) for entry in entries]


async def _remove(docker: aiodocker.Docker, identity: ContainerOwner, network: _Network) -> bool:
    """Remove a network with its rules. Return False and keep both if the network still has containers."""
    if await remove_bridge(docker, network.name):
        return False
    await _remove_rules(network_rules(identity, network.bridge, network.filter_network.address, PORT))
    return True


async def _remove_rules(all_rules: list[firewall.Rules]) -> None:
    try:
        for rules in all_rules:
            await firewall.remove_rules(rules)
    except firewall.FirewallError as error:
        raise StartError(f"The firewall rules of the web filter cannot be removed: {error}.") from error


def _network(entry: DockerJson) -> _Network:
    address: dict[str, str] = entry["IPAM"]["Config"][0]
    filter_network = FilterNetwork(
        policy_id=entry["Labels"][POLICY], address=address["Gateway"], subnet=address["Subnet"]
    )
    return _Network(entry["Id"], entry["Name"], entry["Options"][f"{OPTION}.bridge.name"], filter_network)


def behind_filter(
    config: DockerJson, name: str, network: FilterNetwork, page_port: int, *, trusts_authority: bool = False
) -> DockerJson:
    """Return a container's configuration with the network of the policy as its only network, and the filter as its
    proxy. `trusts_authority` adds the variables with which programs trust the certificate authority of the filter.

    The filter resolves names, so the name server is set to an address of the host at which no server answers.
    """
    variables = proxy_variables(network.address) | (VARIABLES if trusts_authority else {})
    other_variables = [entry for entry in config["Env"] if entry.partition("=")[0] not in variables]
    return {
        **config,
        "Env": [*other_variables, *(f"{name}={value}" for name, value in variables.items())],
        "Labels": {**config["Labels"], POLICY: network.policy_id, PAGE_PORT: str(page_port)},
        "HostConfig": {**config["HostConfig"], "NetworkMode": name, "PortBindings": {}, "Dns": [network.address]},
        "NetworkingConfig": {"EndpointsConfig": {name: {}}},
    }
