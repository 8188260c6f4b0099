"""Creates, finds and removes the web filters for the sessions of an Agent."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final, TypeVar

import httpx2
import msgspec
import structlog
from httpx2.websockets import HTTPXWSException
from lightkube.resources.core_v1 import Pod, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy

from greenroom.runtimes.contract import (
    AGENT,
    ContainerMissing,
    FilterAccount,
    FilterNetwork,
    RuntimeUnavailable,
    StartError,
)
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.errors import reason_of
from greenroom.runtimes.kubernetes.exec import OutputTail, run_script
from greenroom.runtimes.kubernetes.filter_manifest import (
    FILES_KEY,
    RELOAD_SCRIPT,
    FilterImage,
    FilterObjects,
    contains,
    digest,
    is_from_template,
    pack_files,
    policies_that_allow,
    route_through_filter,
)
from greenroom.runtimes.kubernetes.names import (
    FILES_DIGEST,
    FILTER_CONTAINER,
    PART,
    POLICY,
    SERVICE_ADDRESS,
    ObjectOwner,
)
from greenroom.runtimes.kubernetes.objects import annotations_of, decoded, encoded, labels_of, metadata, status
from greenroom.runtimes.kubernetes.pod_state import ENDED, first_waiting, is_ready, is_up, run_id_of
from greenroom.runtimes.kubernetes.starting import TimeLimits, watch_pod

log = structlog.get_logger(__name__)

READY_TIMEOUT_S: Final = 60.0
CALL_TIMEOUT_S: Final = 10.0
LOG_LINES: Final = 8
CRASH_LOOP: Final = "CrashLoopBackOff"
FOLLOW_RETRY_S: Final = 1.0
ANY_ADDRESS: Final = "all"
"""All addresses, in Squid's notation. The NetworkPolicies determine which Pods can reach Squid."""

Kind = TypeVar("Kind", Service, NetworkPolicy)


class PodFilters:
    """The web filters of one Agent. A network is open after this process has called `open` for its policy."""

    def __init__(self, cluster: Cluster, owner: ObjectOwner, image: str) -> None:
        """`image`: empty = the image of the Pod in which this process runs."""
        self._cluster = cluster
        self._owner = owner
        self._image = FilterImage(name=image) if image else None
        self._open: dict[str, FilterNetwork] = {}

    # The network ----------------------------------------------------------------------------------------------------

    async def open(self, policy_id: str, account: FilterAccount) -> FilterNetwork:
        self._open.pop(policy_id, None)
        objects = self._objects(policy_id)
        await self._refuse_bypasses(objects)
        owner_secret = await self._cluster.get(Secret, objects.name)
        if owner_secret is None:
            owner_secret = await self._cluster.create(objects.secret())
        for policy in objects.policies(owner_secret, account.name_servers):
            await self._create_or_restore(NetworkPolicy, policy)
        service = await self._create_or_restore(Service, objects.service(owner_secret))
        address = service.spec.clusterIP if service.spec is not None else None
        if not address:
            raise RuntimeUnavailable(f"The Service {objects.name} of a web filter has no address yet.")
        if annotations_of(owner_secret).get(SERVICE_ADDRESS) != address:
            await self._cluster.patch(Secret, objects.name, {"metadata": {"annotations": {SERVICE_ADDRESS: address}}})
        network = self._open[policy_id] = FilterNetwork(policy_id=policy_id, address=address, subnet=ANY_ADDRESS)
        return network

    async def _refuse_bypasses(self, objects: FilterObjects) -> None:
        """Raise StartError if another policy of the namespace allows sessions to bypass the filter. The check is
        repeated, because policies may be added later.
        """
        policies, _ = await self._cluster.list(NetworkPolicy)
        labels = {**self._owner.session_labels(""), POLICY: objects.policy_id}
        if bypassing := policies_that_allow(policies, labels):
            raise StartError(
                f"The NetworkPolicy {', '.join(sorted(bypassing))} of the namespace {self._cluster.namespace} allows"
                f" sessions under a web filter to bypass it: exclude Pods with the label {POLICY} from the policy."
            )

    async def _create_or_restore(self, kind: type[Kind], expected: Kind) -> Kind:
        """Create the object, or change it to the expected state."""
        name = metadata(expected).name or ""
        existing = await self._cluster.get(kind, name)
        if existing is None:
            return await self._cluster.create(expected)
        is_owned = metadata(existing).ownerReferences == metadata(expected).ownerReferences
        spec = msgspec.to_builtins(expected.spec)
        if is_owned and contains(msgspec.to_builtins(existing.spec), spec):
            return existing
        log.warning("a changed part of a web filter is restored", name=name, kind=kind.__name__)
        metadata_changes = {"ownerReferences": msgspec.to_builtins(metadata(expected).ownerReferences)}
        return await self._cluster.patch(kind, name, {"metadata": metadata_changes, "spec": spec})

    async def close(self, policy_id: str) -> bool:
        sessions, _ = await self._cluster.list(Secret, self._objects(policy_id).session_labels)
        if sessions:
            return False
        self._open.pop(policy_id, None)
        await self._remove(self._objects(policy_id))
        return True

    async def _remove(self, objects: FilterObjects) -> None:
        """Delete the objects of a filter. The Secret is deleted last, because filters are found by their Secrets."""
        for kind, name in (
            (Pod, objects.name),
            (Service, objects.name),
            (NetworkPolicy, f"{objects.name}-squid"),
            (NetworkPolicy, objects.name),
            (Secret, objects.name),
        ):
            await self._cluster.delete(kind, name)

    async def all(self) -> list[FilterNetwork]:
        secrets, _ = await self._cluster.list(Secret, self._owner.agent_selector("filter"))
        policies = [labels_of(secret)[POLICY] for secret in secrets]
        return [self._open.get(policy) or FilterNetwork(policy_id=policy, subnet=ANY_ADDRESS) for policy in policies]

    async def remove_all(self) -> None:
        """Remove the filters of all Agents of the installation."""
        self._open.clear()
        secrets, _ = await self._cluster.list(Secret, self._owner.selector("filter"))
        for secret in secrets:
            labels = labels_of(secret)
            creator = ObjectOwner(installation_id=self._owner.installation_id, agent_id=labels[AGENT])
            await self._remove(FilterObjects(owner=creator, policy_id=labels[POLICY]))

    def _objects(self, policy_id: str) -> FilterObjects:
        return FilterObjects(owner=self._owner, policy_id=policy_id)

    # Sessions -------------------------------------------------------------------------------------------------------

    async def use_filter(self, policy_id: str | None, pod: Pod) -> Pod:
        """Return a session's Pod, changed to use the web filter of the policy; None = no filter.

        Raises:
            StartError: the network of the policy is not open.
        """
        if policy_id is None:
            return pod
        return route_through_filter(pod, self._require_network(policy_id).address, await self._filter_image())

    def require_open(self, secret: Secret) -> None:
        """Raise StartError if the session has a policy whose network is not open."""
        if labels_of(secret).get(PART) == "session" and (policy_id := labels_of(secret).get(POLICY)):
            self._require_network(policy_id)

    def _require_network(self, policy_id: str) -> FilterNetwork:
        network = self._open.get(policy_id)
        if network is None:
            raise StartError(f"The network of web filter policy {policy_id} is not open on this host.")
        return network

    # Squid ----------------------------------------------------------------------------------------------------------

    async def run(self, policy_id: str, files: Mapping[str, str]) -> bool:
        self._require_network(policy_id)
        objects, files_digest = self._objects(policy_id), digest(dict(files))
        secret = await self._cluster.get(Secret, objects.name)
        if secret is None:
            raise RuntimeUnavailable("The Secret of the web filter was deleted; it is created again.")
        content = pack_files(files)
        if decoded(secret, FILES_KEY) != content:
            secret = await self._cluster.patch(Secret, objects.name, {"data": {FILES_KEY: encoded(content)}})
        expected = objects.pod(secret, await self._filter_image(), files_digest)
        pod = await self._cluster.get(Pod, objects.name)
        if pod is not None and not _can_be_reused(pod, expected):
            await self._cluster.delete(Pod, objects.name, metadata(pod).uid, 0)
            pod = None
        was_ready = pod is not None and is_ready(pod)
        if pod is None:
            await self._cluster.create(expected)
        pod = await self._wait_until_ready(objects.name)
        if annotations_of(pod).get(FILES_DIGEST) != files_digest:
            await self._reload(objects.name, content, files_digest)
        return not was_ready

    async def _wait_until_ready(self, name: str) -> Pod:
        """Wait until the Pod is ready and return it.

        Raises:
            StartError: the Pod does not become ready.
        """
        limits, end = TimeLimits(), time.monotonic() + READY_TIMEOUT_S
        async with aclosing(watch_pod(self._cluster, name)) as pod_states:
            async for pod in pod_states:
                if pod is None:
                    raise ContainerMissing
                if is_ready(pod):
                    return pod
                if (problem := limits.problem(pod, time.monotonic())) is not None:
                    raise StartError(f"The web filter has no running Pod: {problem.message}")
                if time.monotonic() > end or first_waiting(pod)[0] == CRASH_LOOP:
                    break
        output_text = (
            await self._cluster.logs(name, LOG_LINES, CALL_TIMEOUT_S, FILTER_CONTAINER)
        ).strip() or "it wrote no log"
        raise StartError(f"The web filter is not ready: {output_text}")

    async def _reload(self, name: str, content: bytes, files_digest: str) -> None:
        output = OutputTail()
        try:
            exit_code = await run_script(
                self._cluster, name, RELOAD_SCRIPT.format(len(content)), output, content,
                container=FILTER_CONTAINER, within_s=CALL_TIMEOUT_S,
            )  # fmt: skip
        except (HTTPXWSException, httpx2.HTTPError, OSError, TimeoutError) as error:
            raise RuntimeUnavailable(
                f"The policy could not be copied to the web filter: {reason_of(error)}."
            ) from error
        if exit_code != 0:
            raise StartError(f"The policy could not be copied to the web filter: {output.text.strip()[-300:]}.")
        await self._cluster.patch(Pod, name, {"metadata": {"annotations": {FILES_DIGEST: files_digest}}})
        log.info("the web filter reads its policy again", pod=name)

    async def output(self, policy_id: str) -> AsyncGenerator[str]:
        name = self._objects(policy_id).name
        pod, since = await self._cluster.get(Pod, name), None
        run = run_id_of(pod) if pod is not None else None
        while pod is not None and is_up(pod) and run_id_of(pod) == run:
            async with aclosing(self._cluster.follow_logs(name, FILTER_CONTAINER, since)) as lines:
                async for at, line in lines:
                    since = at
                    yield line
            await asyncio.sleep(FOLLOW_RETRY_S)
            pod = await self._cluster.get(Pod, name)

    # The image of filters -------------------------------------------------------------------------------------------

    async def _filter_image(self) -> FilterImage:
        if self._image is None:
            self._image = await self._image_of_own_pod()
        return self._image

    async def _image_of_own_pod(self) -> FilterImage:
        runs_in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
        pod = await self._cluster.get(Pod, socket.gethostname()) if runs_in_cluster else None
        if pod is None or pod.spec is None:
            raise StartError(
                "The image of the web filter is not known, because this Agent is no Pod of the namespace"
                f" {self._cluster.namespace}: name one in GREENROOM_KUBE_FILTER_IMAGE, such as greenroom/agent:latest."
            )
        containers = {container.name: container.image for container in pod.spec.containers}
        image = containers.get("agent") or next(iter(containers.values())) or ""
        secrets = tuple(reference.name for reference in pod.spec.imagePullSecrets or [] if reference.name)
        return FilterImage(name=image, pull_secrets=secrets)


def _can_be_reused(pod: Pod, expected: Pod) -> bool:
    """Return True if a Pod has the current template, has not ended and does not crash repeatedly. Otherwise the Pod is
    replaced. A replaced Pod may continue on a node that does not answer, because a filter has no state.
    """
    is_ending = metadata(pod).deletionTimestamp is not None or status(pod).phase in ENDED
    return not is_ending and first_waiting(pod)[0] != CRASH_LOOP and is_from_template(pod, expected)
