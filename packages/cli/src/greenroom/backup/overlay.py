"""The objects of a deployment on Kubernetes, as `kubectl kustomize` renders them from the administrator's folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from greenroom.core.errors import SetupError

WORKLOADS: Final = ("kasm-manager", "kasm-api", "kasm-proxy", "kasm-agent", "kasm-db")
"""The Deployments of the roles and the StatefulSet of the database, in the order of their replacement."""
DATABASE: Final = "kasm-db"
JOB: Final = "kasm-migrate"
SETUP_SECRET: Final = "kasm-setup"  # noqa: S105 -- the name of a Secret
TOOLS_POD: Final = "kasm-tools"
"""The Pod in which backups, restores and upgrades use the database. While it exists, no other one can start."""
TOOLS_CONTAINER: Final = "migrate"
TOOLS_LIFETIME_S: Final = 6 * 3600


@dataclass(frozen=True, slots=True)
class Overlay:
    """The objects of a deployment: `objects` are the rendered objects of the kustomization in `folder`."""

    folder: Path
    objects: tuple[dict[str, Any], ...]

    @classmethod
    def parse(cls, folder: Path, text: str) -> Overlay:
        """Return the deployment in rendered YAML documents.

        Raises:
            SetupError: they contain no role of Greenroom, or roles in several namespaces.
        """
        overlay = cls(folder, tuple(one for one in yaml.safe_load_all(text) if one))
        namespaces = {one["metadata"].get("namespace") for one in overlay.workloads}
        if len(namespaces) != 1 or None in namespaces:
            raise SetupError(
                f"{folder} is not the kustomization of a deployment: its roles must be in one namespace; specify the"
                " folder that you pass to kubectl apply -k."
            )
        return overlay

    @property
    def namespace(self) -> str:
        return self.workloads[0]["metadata"]["namespace"]

    @property
    def workloads(self) -> list[dict[str, Any]]:
        """The workloads in the order of their replacement."""
        by_name = {name_of(one): one for one in self.objects if one["kind"] in {"Deployment", "StatefulSet"}}
        return [by_name[name] for name in WORKLOADS if name in by_name]

    @property
    def has_database(self) -> bool:
        """False if the deployment only runs sessions of another one."""
        return self._find_job() is not None

    @property
    def job(self) -> dict[str, Any]:
        """The Job that migrates the database.

        Raises:
            SetupError: the deployment has no database, because it only runs sessions.
        """
        if (job := self._find_job()) is None:
            raise SetupError(
                f"{self.folder} has no Job {JOB}, so it contains no database; specify the kustomization of the api and"
                " the Managers."
            )
        return job

    def _find_job(self) -> dict[str, Any] | None:
        return next((one for one in self.objects if kind_and_name(one) == f"job/{JOB}"), None)

    @property
    def other_objects(self) -> list[dict[str, Any]]:
        """The objects that start no process, in the order of the kustomization."""
        return [one for one in self.objects if one["kind"] not in {"Deployment", "StatefulSet", "Job"}]


def name_of(one: Mapping[str, Any]) -> str:
    """Return the name of an object."""
    return one["metadata"]["name"]


def kind_and_name(one: Mapping[str, Any]) -> str:
    """Return the argument with which kubectl selects an object, such as `deployment/kasm-api`."""
    return f"{one['kind'].lower()}/{name_of(one)}"


def image_of(workload: Mapping[str, Any]) -> str:
    """Return the image of the first container of a workload."""
    return workload["spec"]["template"]["spec"]["containers"][0]["image"]


def container_of(workload: Mapping[str, Any]) -> str:
    """Return the name of the first container of a workload."""
    return workload["spec"]["template"]["spec"]["containers"][0]["name"]


def tools_pod(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Pod with the image, the secrets and the network of the Job that migrates the database. It waits for
    commands, and ends by itself after `TOOLS_LIFETIME_S`.
    """
    template = copy.deepcopy(job["spec"]["template"])
    spec = template["spec"]
    spec |= {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": TOOLS_LIFETIME_S,
        "terminationGracePeriodSeconds": 1,
    }
    spec["containers"][0]["args"] = ["sleep", str(TOOLS_LIFETIME_S)]
    metadata = {
        "name": TOOLS_POD,
        "namespace": job["metadata"]["namespace"],
        "labels": template["metadata"].get("labels", {}),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
