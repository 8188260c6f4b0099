"""Names, labels and annotations of what sessions are made of in a namespace. Pure."""

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
"""Label of the field: with `greenroom` on all that this product makes."""
SESSION_ID: Final = "greenroom.io/session-id"
"""Label by which programs of others find a session's Pod."""
PART: Final = "greenroom.part"
"""Label: what an object is: session, home, image, filter."""
POLICY: Final = "greenroom.io/web-filter"
"""Label: the web filter policy of a session, or that a filter carries out. Policies of the network that are for other
sessions alone leave out Pods with this label."""
CREDENTIAL: Final = "credential"
"""Key of the session's Secret."""
VARIABLE: Final = "variable."
"""Prefix of keys: the variables of the session, whose names are not always valid keys."""
PENDING_FILES: Final = "pending-files"
"""Key: files that are yet to be unpacked in the session; removed when that is done."""
TEMPLATE: Final = "pod"
"""Key: the Pod as it is made at the start."""
RAN: Final = "greenroom.pod"
"""Annotation of the Secret: uid of the Pod that was made for it. With it and without a Pod the session is lost."""
FAILED: Final = "greenroom.failed"
"""Annotation of the Secret: why the session does not start, noted before its Pod is taken away for that."""
LABELS: Final = "greenroom.labels"
"""Annotation: further labels of the session, as JSON; their values need not be those of Kubernetes."""
PAGE_PORT: Final = "greenroom.page-port"
SERVICES: Final = "greenroom.services"
"""Annotations of a Pod: the ports of its page and, as `audio=4901,uploads=4902`, of what it serves beside it."""
TEMPLATE_DIGEST: Final = "greenroom.template"
APPLIED: Final = "greenroom.applied"
"""Annotations of a filter's Pod: digests of how it was made, and of the files that it has read."""
ADDRESS: Final = "greenroom.address"
"""Annotation of a filter's Secret: the address of its Service, which sessions know; it has the same when made anew."""
IMAGE: Final = "greenroom.image"
"""Annotation: the name of an image."""
OWNER: Final = "greenroom.home"
"""Annotation of a claim: the folder of the profile that it stands for, in which the user is named."""
CLASS: Final = "greenroom.storage-class"
"""Annotation of a claim: the storage class that it was to have; empty = the default one of the cluster."""

HOMES: Final = "greenroom.homes"
"""Annotation of a session's Secret: the folders of its profiles, as JSON."""
REMOVAL: Final = "greenroom.removal"
"""Annotation of a claim: the removal that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOwner:
    """Whose objects these are."""

    installation_id: str
    agent_id: str

    def labels(self, part: str) -> dict[str, str]:
        return {PART_OF: "greenroom", INSTALLATION: self.installation_id, AGENT: self.agent_id, PART: part}

    def of_agent(self, part: str) -> dict[str, str]:
        """The labels by which those of this Agent are found."""
        return {**self.selector(part), AGENT: self.agent_id}

    def selector(self, part: str) -> dict[str, str]:
        """The labels by which all of the installation are found, of every Agent."""
        return {INSTALLATION: self.installation_id, PART: part}

    def of_session(self, session_id: str) -> dict[str, str]:
        return {**self.labels("session"), SESSION: session_id, SESSION_ID: session_id}


def object_name(session_id: str) -> str:
    """Of the Secret and the Pod: made from the session's id, so that a second Pod for it cannot be made."""
    return f"gr-{session_id}"


def image_name(identity: ObjectOwner, image: str) -> str:
    """Of the Secret with an Agent's log-in for an image, which is there even if none is needed."""
    return f"gr-image-{_digest(f'{identity.installation_id} {identity.agent_id} {image}')}"


def filter_name(agent_id: str, policy_id: str) -> str:
    """Of all that a web filter is made of."""
    return f"gr-filter-{_digest(f'{agent_id} {policy_id}')}"


def home_name(installation_id: str, folder: str) -> str:
    """Of the claim for a profile."""
    return f"{HOME_PREFIX}{_digest(f'{installation_id} {folder}')}"


HOME_PREFIX: Final = "gr-home-"
CLAIMS: Final = "/claims/"
"""Folder of volume mappings that are claims: `/claims/NAME`, `/claims/NAME/folder`."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
