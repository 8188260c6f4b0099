"""Names, labels and annotations of the objects of sessions in a namespace. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from greenroom.runtimes.contract import AGENT, INSTALLATION, SESSION

CONTAINER: Final = "session"
"""The container of a session's Pod."""
FILTER_CONTAINER: Final = "squid"
"""The container of a filter's Pod."""
PART_OF: Final = "app.kubernetes.io/part-of"
"""Common label: `greenroom` on all objects that this product creates."""
SESSION_ID: Final = "greenroom.io/session-id"
"""Label by which other programs find a session's Pod."""
PART: Final = "greenroom.part"
"""Label: the kind of an object: session, home, image, filter."""
POLICY: Final = "greenroom.io/web-filter"
"""Label: the web filter policy of a session, or of a filter. NetworkPolicies for other sessions must exclude Pods with
this label."""
CREDENTIAL: Final = "credential"
"""Key of the session's Secret."""
VARIABLE: Final = "variable."
"""Prefix of keys: the variables of the session, whose names are not always valid keys."""
PENDING_FILES: Final = "pending-files"
"""Key: files that must still be unpacked in the session; removed after that."""
TEMPLATE: Final = "pod"
"""Key: the template of the Pod, for the start."""
RAN: Final = "greenroom.pod"
"""Annotation of the Secret: uid of the Pod that was created for it. With it and without a Pod the session is lost."""
FAILED: Final = "greenroom.failed"
"""Annotation of the Secret: the reason why the session does not start, written before its Pod is deleted for it."""
LABELS: Final = "greenroom.labels"
"""Annotation: further labels of the session, as JSON; their values need not be valid in Kubernetes."""
PAGE_PORT: Final = "greenroom.page-port"
SERVICES: Final = "greenroom.services"
"""Annotations of a Pod: the ports of its page and, as `audio=4901,uploads=4902`, of its other services."""
TEMPLATE_DIGEST: Final = "greenroom.template"
APPLIED: Final = "greenroom.applied"
"""Annotations of a filter's Pod: digests of its template, and of the files that it has read."""
ADDRESS: Final = "greenroom.address"
"""Annotation of a filter's Secret: the address of its Service, which sessions use; a new Service gets the same
address."""
IMAGE: Final = "greenroom.image"
"""Annotation: the name of an image."""
OWNER: Final = "greenroom.home"
"""Annotation of a claim: the folder of the profile that it represents, which contains the user's name."""
CLASS: Final = "greenroom.storage-class"
"""Annotation of a claim: the requested storage class; empty = the default one of the cluster."""

HOMES: Final = "greenroom.homes"
"""Annotation of a session's Secret: the folders of its profiles, as JSON."""
REMOVAL: Final = "greenroom.removal"
"""Annotation of a claim: the removal in progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOwner:
    """The owner of objects."""

    installation_id: str
    agent_id: str

    def labels(self, part: str) -> dict[str, str]:
        return {PART_OF: "greenroom", INSTALLATION: self.installation_id, AGENT: self.agent_id, PART: part}

    def of_agent(self, part: str) -> dict[str, str]:
        """The labels that select this Agent's objects of a kind."""
        return {**self.selector(part), AGENT: self.agent_id}

    def selector(self, part: str) -> dict[str, str]:
        """The labels that select the objects of a kind of all Agents of the installation."""
        return {INSTALLATION: self.installation_id, PART: part}

    def of_session(self, session_id: str) -> dict[str, str]:
        return {**self.labels("session"), SESSION: session_id, SESSION_ID: session_id}


def object_name(session_id: str) -> str:
    """The name of the Secret and the Pod, derived from the session's id, so that a second Pod for it cannot be
    created."""
    return f"gr-{session_id}"


def image_name(identity: ObjectOwner, image: str) -> str:
    """The name of the Secret with an Agent's log-in for an image, which exists even if no log-in is needed."""
    return f"gr-image-{_digest(f'{identity.installation_id} {identity.agent_id} {image}')}"


def filter_name(agent_id: str, policy_id: str) -> str:
    """The name of all objects of a web filter."""
    return f"gr-filter-{_digest(f'{agent_id} {policy_id}')}"


def home_name(installation_id: str, folder: str) -> str:
    """The name of the claim for a profile."""
    return f"{HOME_PREFIX}{_digest(f'{installation_id} {folder}')}"


HOME_PREFIX: Final = "gr-home-"
CLAIMS: Final = "/claims/"
"""Folder of volume mappings that are claims: `/claims/NAME`, `/claims/NAME/folder`."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
