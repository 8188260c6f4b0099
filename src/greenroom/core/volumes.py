"""Which folders of the host may be put into a container (volume mappings of workspaces and groups, profiles).

Whoever may write a mapping must not thereby own the host: the container daemon's socket, the system's configuration
and this product's own data are never mounted, and neither is a folder that holds one of them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, Final, cast

FORBIDDEN: Final = (
    "/boot",
    "/dev",
    "/etc",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/greenroom",
    "/var/run",
)


def source_problem(source: str) -> str | None:
    """Why this path of the host may not be mounted, as a sentence; None = it may. Tokens should be replaced before."""
    if not source.startswith("/") or ".." in source.split("/"):
        return f"{source} must be an absolute path without `..`."
    path = posixpath.normpath("/" + source.lstrip("/"))
    inside = next((folder for folder in FORBIDDEN if f"{path}/".startswith(f"{folder}/")), None)
    if inside:
        return f"{source} may not be put into a container: {inside} belongs to the host itself."
    held = next((folder for folder in FORBIDDEN if f"{folder}/".startswith(f"{path.rstrip('/')}/")), None)
    return (
        f"{source} may not be put into a container: it holds {held}, which belongs to the host itself."
        if held
        else None
    )


def mappings_problem(mappings: Mapping[str, Any]) -> str | None:
    """What is wrong with `{path of the host: {"bind": path in the container, "mode": "rw" or "ro"}}`, or None."""
    for source, options in mappings.items():
        if not isinstance(options, dict) or not isinstance(cast("dict[str, object]", options).get("bind"), str):
            return f"{source} must be an object with bind, the path in the container."
        if cast("dict[str, object]", options).get("mode", "rw") not in ("rw", "ro"):
            return f"The mode of {source} must be rw or ro."
        if problem := source_problem(source):
            return problem
    return None
