"""Names, labels and annotations of the objects of an installation in a namespace."""

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
"""Label: the part of the product to which an object belongs: session, home, image or filter."""
POLICY: Final = "greenroom.io/web-filter"
"""Label: the web filter policy of a session, or of a filter. NetworkPolicies for other sessions must exclude Pods with
this label."""
CREDENTIAL: Final = "credential"
"""Key of the session's Secret."""
VARIABLE_PREFIX: Final = "variable."
"""Prefix of the keys for the variables of the session, which separates them from the other keys."""
PENDING_FILES: Final = "pending-files"
"""Key of the session's Secret: files that are not unpacked in the session yet."""
POD_TEMPLATE: Final = "pod"
"""Key of the session's Secret: the template from which the Pod is created."""
POD_UID: Final = "greenroom.pod"
"""Annotation of the session's Secret: the uid of its Pod. The session is lost if this Pod does not exist any more."""
START_ERROR: Final = "greenroom.failed"
"""Annotation of the session's Secret: the reason why the session does not start. It is written before the Pod is
deleted."""
EXTRA_LABELS: Final = "greenroom.labels"
"""Annotation: additional labels of the session, as JSON, because Kubernetes may not accept their values as labels."""
PAGE_PORT: Final = "greenroom.page-port"
SERVICES: Final = "greenroom.services"
"""Annotations of a Pod: the ports of its page and, as `audio=4901,uploads=4902`, of its other services."""
TEMPLATE_DIGEST: Final = "greenroom.template"
FILES_DIGEST: Final = "greenroom.applied"
"""Annotations of a filter's Pod: digests of its template, and of the files that it has read."""
SERVICE_ADDRESS: Final = "greenroom.address"
"""Annotation of a filter's Secret: the address of its Service, which sessions use; a new Service gets the same
address."""
IMAGE: Final = "greenroom.image"
"""Annotation: the name of an image."""
PROFILE_FOLDER: Final = "greenroom.home"
"""Annotation of a claim: the folder of its profile, whose path identifies the user."""
STORAGE_CLASS: Final = "greenroom.storage-class"
"""Annotation of a claim: the requested storage class; empty = the default one of the cluster."""

PROFILE_FOLDERS: Final = "greenroom.homes"
"""Annotation of a session's Secret: the folders of its profiles, as JSON."""
REMOVAL_ID: Final = "greenroom.removal"
"""Annotation of a claim: the id of the removal in progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOwner:
    """The installation and the Agent that own objects, and the labels of these objects."""

    installation_id: str
    agent_id: str

    def labels(self, part: str) -> dict[str, str]:
        return {PART_OF: "greenroom", INSTALLATION: self.installation_id, AGENT: self.agent_id, PART: part}

    def agent_selector(self, part: str) -> dict[str, str]:
        """Return the labels that select the objects of a part, of this Agent only."""
        return {**self.selector(part), AGENT: self.agent_id}

    def selector(self, part: str) -> dict[str, str]:
        """Return the labels that select the objects of a part, of all Agents of the installation."""
        return {INSTALLATION: self.installation_id, PART: part}

    def session_labels(self, session_id: str) -> dict[str, str]:
        return {**self.labels("session"), SESSION: session_id, SESSION_ID: session_id}


def object_name(session_id: str) -> str:
    """Return the name of a session's Secret and Pod. Names are unique, so a session cannot get a second Pod."""
    return f"gr-{session_id}"


def image_name(owner: ObjectOwner, image: str) -> str:
    """Return the name of an image's objects: the Pod that pulls the image, and the Secret with the log-in. The Secret
    exists even if no log-in is needed."""
    return f"gr-image-{_digest(f'{owner.installation_id} {owner.agent_id} {image}')}"


def filter_name(agent_id: str, policy_id: str) -> str:
    """Return the name of the objects of a web filter."""
    return f"gr-filter-{_digest(f'{agent_id} {policy_id}')}"


def home_name(installation_id: str, folder: str) -> str:
    """Return the name of the claim for a profile."""
    return f"{HOME_PREFIX}{_digest(f'{installation_id} {folder}')}"


HOME_PREFIX: Final = "gr-home-"
CLAIM_PREFIX: Final = "/claims/"
"""Prefix of the sources of volume mappings that name a claim: `/claims/NAME`, `/claims/NAME/folder`."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
