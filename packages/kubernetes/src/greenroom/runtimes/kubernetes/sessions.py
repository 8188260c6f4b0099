"""Creates, finds and removes the Secrets and Pods of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import httpx2
import structlog
from httpx2.websockets import HTTPXWSException
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.session_spec import SessionFile, SessionSpec
from greenroom.runtimes.archive import pack_tar
from greenroom.runtimes.contract import (
    INSTALLATION,
    SESSION,
    SPEC_HASH,
    Container,
    ContainerConflict,
    ContainerMissing,
    ImageMissing,
    RuntimeUnavailable,
    StartError,
)
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.errors import reason_of
from greenroom.runtimes.kubernetes.exec import OutputTail, run_script
from greenroom.runtimes.kubernetes.filters import PodFilters
from greenroom.runtimes.kubernetes.homes import KubernetesHomes
from greenroom.runtimes.kubernetes.manifest import (
    AllowedResources,
    pending_entry,
    pending_files,
    pod_from_template,
    pod_of,
    secret_of,
    template_entry,
)
from greenroom.runtimes.kubernetes.names import PENDING_FILES, POD_UID, START_ERROR, ObjectOwner, object_name
from greenroom.runtimes.kubernetes.objects import annotations_of, data_of, labels_of, metadata, status
from greenroom.runtimes.kubernetes.pod_state import ENDED, container_of, is_lost, is_up, node_of
from greenroom.runtimes.kubernetes.starting import wait_until_ended, wait_until_running
from greenroom.runtimes.kubernetes.volumes import profiles_of, volumes_of

log = structlog.get_logger(__name__)

REMOVAL_GRACE_S: Final = 1
"""The grace period for the removal of a Pod."""
REMOVAL_TIMEOUT_S: Final = 8.0
"""The time limit of a removal. After it the Pod is deleted without a confirmation from its node."""
UNPACK_TIMEOUT_S: Final = 20.0


def now() -> datetime:
    """Return the time of this host's clock. It must be equal to the time of the cluster's clocks."""
    return datetime.now(UTC)


class SessionPods:
    """The sessions of one namespace. Each step can be repeated, also by another process."""

    def __init__(
        self,
        cluster: Cluster,
        owner: ObjectOwner,
        homes: KubernetesHomes,
        filters: PodFilters,
        allowed: AllowedResources,
    ) -> None:
        self._cluster = cluster
        self._owner = owner
        self._homes = homes
        self._filters = filters
        self._allowed = allowed

    async def create(self, session_id: str, spec: SessionSpec, labels: Mapping[str, str] | None) -> Container:
        """Create the Secret with the template of the Pod; `start` creates the Pod. A specification with an error is
        refused before any object is created.
        """
        volumes = volumes_of(spec.mounts, self._owner.installation_id, self._allowed.folders)
        pod = pod_of(session_id, spec, self._owner, volumes=volumes, allowed=self._allowed)
        pod = await self._filters.use_filter(spec.filter_policy, pod)
        manifest = secret_of(session_id, spec, self._owner, labels)
        manifest.data = {**data_of(manifest), **template_entry(pod)}
        try:
            secret, existing_pod = await self._cluster.create(manifest), None
        except ContainerConflict:
            secret, existing_pod = await self._adopt(session_id, spec)
        if spec.mounts and existing_pod is None:
            await self._homes.prepare(spec.mounts)  # the Secret exists already, so that a removal finds it
        return container_of(secret, existing_pod, now())

    async def _adopt(self, session_id: str, spec: SessionSpec) -> tuple[Secret, Pod | None]:
        secret, pod = await self.find(session_id)
        if secret is None:
            raise RuntimeUnavailable("The session's Secret was deleted during the start; the start is repeated.")
        if not self._is_own(secret, session_id):
            name = object_name(session_id)
            raise ContainerConflict(f"A Secret {name} of another owner exists; delete it.")
        if labels_of(secret).get(SPEC_HASH) != spec.hash():
            raise ContainerConflict(f"The Secret {object_name(session_id)} was created from another specification.")
        return secret, pod

    def _is_own(self, resource: Secret | Pod, session_id: str) -> bool:
        labels = labels_of(resource)
        return (labels.get(INSTALLATION), labels.get(SESSION)) == (self._owner.installation_id, session_id)

    async def find(self, session_id: str) -> tuple[Secret | None, Pod | None]:
        """Return the Secret and the Pod of a session. A Pod without a Secret is ignored, because it is being
        removed."""
        name = object_name(session_id)
        secret = await self._cluster.get(Secret, name)
        pod = await self._cluster.get(Pod, name) if secret is not None else None
        is_own_pod = pod is not None and self._is_own(pod, session_id)
        return secret, (pod if is_own_pod else None)

    async def require(self, session_id: str) -> tuple[Secret, Pod | None]:
        """Return the Secret and the Pod of a session of this installation.

        Raises:
            ContainerMissing: the session has no Secret.
            ContainerConflict: the Secret belongs to another installation.
        """
        secret, pod = await self.find(session_id)
        if secret is None:
            raise ContainerMissing
        if not self._is_own(secret, session_id):
            raise ContainerConflict
        return secret, pod

    async def list(self) -> list[Container]:
        selector = self._owner.selector("session")
        secrets, _ = await self._cluster.list(Secret, selector)
        pods, _ = await self._cluster.list(Pod, selector)
        session_pods = {labels_of(pod).get(SESSION): pod for pod in pods}
        read_at = now()
        return [container_of(secret, session_pods.get(labels_of(secret).get(SESSION)), read_at) for secret in secrets]

    # Start --------------------------------------------------------------------------------------------------------

    async def start(self, session_id: str) -> Container:
        secret, pod = await self.require(session_id)
        container = container_of(secret, pod, now())
        if container.state is not ContainerState.EXITED and START_ERROR in annotations_of(secret):
            # the Pod was not deleted after the failure: try to start it again
            changes = {"metadata": {"annotations": {START_ERROR: None}}}
            secret = await self._cluster.patch(Secret, object_name(session_id), changes)
        if container.state is ContainerState.RUNNING:
            return container
        if container.state is ContainerState.EXITED:
            raise StartError(container.ended or "A session whose Pod has ended cannot be started again.")
        self._filters.require_open(secret)
        if pod is None:
            pod = await self._create_pod(secret, session_id)
        if annotations_of(secret).get(POD_UID) != metadata(pod).uid:
            changes = {"metadata": {"annotations": {POD_UID: metadata(pod).uid}}}
            secret = await self._cluster.patch(Secret, object_name(session_id), changes)
        pod = await self._wait_until_running(pod)
        if is_up(pod):
            secret = await self._unpack(secret)
        return container_of(secret, pod, now())

    async def _wait_until_running(self, created: Pod) -> Pod:
        """Return the Pod when it runs. A Pod that cannot run is deleted, because it would use quota as long as the
        failed session exists. The reason is stored before the deletion, so that a crash does not lose it.
        """
        name = metadata(created).name or ""
        try:
            return await wait_until_running(self._cluster, name)
        except (StartError, ImageMissing) as error:
            pod = await self._cluster.get(Pod, name)
            if pod is not None and metadata(pod).uid == metadata(created).uid and status(pod).phase not in ENDED:
                await self._cluster.patch(Secret, name, {"metadata": {"annotations": {START_ERROR: error.message}}})
                await self._delete_pod(pod)
            raise

    async def _create_pod(self, secret: Secret, session_id: str) -> Pod:
        manifest = pod_from_template(secret)
        await self._refuse_profiles_on_silent_nodes(manifest)
        try:
            return await self._cluster.create(manifest)
        except ContainerConflict:
            pod = await self._cluster.get(Pod, object_name(session_id))
            if pod is not None and self._is_own(pod, session_id):
                return pod
            if pod is None:
                raise RuntimeUnavailable(
                    "The session's Pod was deleted during the start; the start is repeated."
                ) from None
            raise

    async def _refuse_profiles_on_silent_nodes(self, manifest: Pod) -> None:
        """Raise StartError if a Pod on a node that does not answer has the same profile, because it may still write."""
        if not (profiles := profiles_of(manifest)):
            return
        pods, _ = await self._cluster.list(Pod, self._owner.selector("session"))
        for pod in pods:
            if profiles & profiles_of(pod) and is_lost(pod, now()):
                raise StartError(
                    f"The profile may still be in use on the node {node_of(pod)}, which does not answer. The session"
                    " can start when the node answers again, or after it was switched off and deleted from the cluster."
                )

    # Files --------------------------------------------------------------------------------------------------------

    async def put_files(self, session_id: str, files: Sequence[SessionFile]) -> None:
        """Store the files in the Secret until they are unpacked. After a crash another process unpacks them."""
        secret, pod = await self.require(session_id)
        changes = {"data": pending_entry(pending_files(secret, files))}
        secret = await self._cluster.patch(Secret, object_name(session_id), changes)
        if pod is not None and is_up(pod):
            await self._unpack(secret)

    async def _unpack(self, secret: Secret) -> Secret:
        if PENDING_FILES not in data_of(secret):
            return secret
        name = metadata(secret).name or ""
        archive_bytes = pack_tar(pending_files(secret))
        script = f"head -c {len(archive_bytes)} | tar -x -p -f - -C / --no-same-owner --no-overwrite-dir"
        output = OutputTail()
        try:
            exit_code = await run_script(self._cluster, name, script, output, archive_bytes, within_s=UNPACK_TIMEOUT_S)
        except (HTTPXWSException, httpx2.HTTPError, OSError, TimeoutError) as error:
            raise RuntimeUnavailable(f"The files could not be copied into the session: {reason_of(error)}.") from error
        if exit_code != 0:
            raise StartError(f"The files could not be copied into the session: {output.text.strip()[-300:]}.")
        # the resourceVersion makes the patch fail if other files were added in the meantime
        changes = {"metadata": {"resourceVersion": metadata(secret).resourceVersion}, "data": {PENDING_FILES: None}}
        try:
            return await self._cluster.patch(Secret, name, changes)
        except ContainerConflict:
            # another process has unpacked the files, or the next start unpacks the added ones
            return await self._cluster.get(Secret, name) or secret

    # Removal ------------------------------------------------------------------------------------------------------

    async def remove(self, session_id: str) -> None:
        try:
            secret, pod = await self.require(session_id)
        except ContainerMissing:
            return
        if pod is not None:
            await self._remove_pod(pod)
        await self._cluster.delete(Secret, object_name(session_id), metadata(secret).uid)

    async def _remove_pod(self, pod: Pod) -> None:
        """Remove a Pod. A Pod with a profile stays in the cluster while its node does not answer, to prevent a second
        use of the profile. The cluster removes it when the node answers or is deleted.
        """
        name, uid = metadata(pod).name or "", metadata(pod).uid or ""
        is_silent = is_lost(pod, now())
        if status(pod).phase not in ENDED and not is_silent:
            is_silent = not await self._delete_pod(pod)
        if is_silent:
            log.warning("the node does not terminate a Pod", pod=name, stays=bool(profiles_of(pod)))
        if not is_silent or not profiles_of(pod):
            # remove the Pod now; the node would remove it a few seconds after its end
            await self._cluster.delete(Pod, name, uid, 0)

    async def _delete_pod(self, pod: Pod) -> bool:
        """Delete the Pod. Return True if it has ended or does not exist.

        If the Pod runs or has a profile, the grace period is not zero, so that its node confirms the end of the
        container, even if the container starts during the deletion. The API server ignores the grace period of a Pod
        without a node.
        """
        name, uid = metadata(pod).name or "", metadata(pod).uid or ""
        grace_s = REMOVAL_GRACE_S if is_up(pod) or profiles_of(pod) else 0
        existed = await self._cluster.delete(Pod, name, uid, grace_s)
        return not existed or await wait_until_ended(self._cluster, name, uid, REMOVAL_TIMEOUT_S)
