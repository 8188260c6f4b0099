"""What the Agent needs of a cluster: a version it knows, and verbs in its namespace."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes.cluster import Cluster, Json

OLDEST: Final = (1, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Verbs for one resource, and what they are for."""

    resource: str
    verbs: tuple[str, ...]
    purpose: str
    group: str = ""

    @property
    def named(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


NEEDS: Final = (
    Need(
        resource="pods",
        verbs=("create", "get", "list", "watch", "patch", "delete"),
        purpose="a session is a Pod, found by its labels",
    ),
    Need(resource="pods/exec", verbs=("create", "get"), purpose="first_launch, go, assign, files of a session"),
    Need(resource="pods/log", verbs=("get",), purpose="the last lines of a session that ended"),
    Need(
        resource="secrets",
        verbs=("create", "get", "list", "watch", "patch", "delete"),
        purpose="the credential and variables of a session, the log-in at a registry",
    ),
    Need(
        resource="persistentvolumeclaims",
        verbs=("create", "get", "list", "patch", "delete"),
        purpose="profiles of users",
    ),
    Need(resource="resourcequotas", verbs=("list",), purpose="what is left for sessions"),
)


async def check(cluster: Cluster) -> str:
    """The version of the cluster, which serves this Agent.

    Raises:
        RuntimeUnavailable: it does not; the sentence says what to do.
    """
    said = await cluster.ask("version")
    version = str(said.get("gitVersion") or "")
    if problem := version_problem(version):
        raise RuntimeUnavailable(problem)
    asked = [(need, verb) for need in NEEDS for verb in need.verbs]
    allowed = await asyncio.gather(*(_is_allowed(cluster, need, verb) for need, verb in asked))
    missing = [f"{verb} {need.named}" for (need, verb), may in zip(asked, allowed, strict=True) if not may]
    if missing:
        raise RuntimeUnavailable(
            f"This Agent may not do all it needs in the namespace {cluster.namespace}: {', '.join(missing)}; bind its"
            " account to a role with these verbs."
        )
    return version


def version_problem(version: str) -> str:
    """Why a cluster of this version cannot be used, as a sentence; empty = it can."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None:
        return f"The cluster says that its version is {version!r}, which is none of Kubernetes."
    if (int(numbers[1]), int(numbers[2])) < OLDEST:
        return f"The cluster has Kubernetes {version}; sessions need {OLDEST[0]}.{OLDEST[1]} or newer."
    return ""


async def may(cluster: Cluster, verb: str, resource: str, group: str = "", *, in_namespace: bool = True) -> bool:
    """Whether this Agent's account may do this."""
    resource, _, part = resource.partition("/")
    attributes: Json = {"verb": verb, "resource": resource, "group": group}
    if part:
        attributes["subresource"] = part
    if in_namespace:
        attributes["namespace"] = cluster.namespace
    review: Json = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await cluster.ask("apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    status: Json = answer.get("status") or {}
    return bool(status.get("allowed"))


async def _is_allowed(cluster: Cluster, need: Need, verb: str) -> bool:
    return await may(cluster, verb, need.resource, need.group)
