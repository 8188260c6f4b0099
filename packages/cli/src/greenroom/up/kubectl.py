"""Runs the program kubectl, with the context and in the namespace of a deployment on Kubernetes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from greenroom.core.errors import SetupError
from greenroom.up.streamed import program_error, streamed_program

PROGRAM: Final = "kubectl"
REQUEST_TIMEOUT_S: Final = 120.0
"""The time limit of a request, such as `get` and `apply`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Runs kubectl with the context `context` of its configuration (None = the configuration has no contexts)."""

    namespace: str
    context: str | None = None

    @property
    def command(self) -> list[str]:
        """The program with the options that select the cluster and the namespace."""
        context = [] if self.context is None else [f"--context={self.context}"]
        return [PROGRAM, *context, f"--namespace={self.namespace}"]

    def run(self, *arguments: str, stdin: bytes = b"", timeout_s: float = REQUEST_TIMEOUT_S) -> str:
        """Return the output of `kubectl ARGUMENTS`.

        Raises:
            SetupError: kubectl is missing, failed, or did not end within `timeout_s`.
        """
        return _run([*self.command, *arguments], arguments[0], stdin, timeout_s)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON of `kubectl get ARGUMENTS`; an empty dict if the named object does not exist."""
        text = self.run("get", *arguments, "--output=json", "--ignore-not-found")
        return json.loads(text) if text.strip() else {}

    def list(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that `kubectl get ARGUMENTS` lists."""
        return self.get(*arguments).get("items", [])

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Create or update objects."""
        items = list(objects)
        if items:
            listed = {"apiVersion": "v1", "kind": "List", "items": items}
            self.run("apply", "--filename=-", stdin=json.dumps(listed).encode())

    def exec(self, pod: str, container: str, *command: str, timeout_s: float = REQUEST_TIMEOUT_S) -> str:
        """Return the output of a command in a container. Raises SetupError: as for `run`."""
        return self.run("exec", pod, f"--container={container}", "--", *command, timeout_s=timeout_s)

    def stream(self, pod: str, container: str, *command: str, **streams: Any) -> AbstractContextManager[Any]:
        """Run a command in a container for the duration of a block, which gets the process of kubectl. `streams` are
        arguments of Popen.

        Raises:
            SetupError: the command failed.
        """
        stdin = ["--stdin"] if "stdin" in streams else []
        argv = [*self.command, "exec", pod, *stdin, f"--container={container}", "--", *command]
        return streamed_program("kubectl exec", argv, **streams)


def current_context() -> str | None:
    """Return the current context of the configuration; None if there is none, as in a Pod. Raises SetupError: as for
    `Kubectl.run`."""
    return _run([PROGRAM, "config", "view", "--output=jsonpath={.current-context}"], "config") or None


def render(folder: Path) -> str:
    """Return the YAML documents of a kustomization. Raises SetupError: as for `Kubectl.run`."""
    return _run([PROGRAM, "kustomize", str(folder)], "kustomize")


def _run(command: Sequence[str], verb: str, stdin: bytes = b"", timeout_s: float = REQUEST_TIMEOUT_S) -> str:
    try:
        result = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=timeout_s)
    except FileNotFoundError as error:
        raise SetupError(
            "The program kubectl is missing; install it, and select the cluster in its configuration."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"kubectl {verb} did not end within {timeout_s:g} s.") from error
    if result.returncode != 0:
        raise program_error(f"kubectl {verb}", result.stderr)
    return result.stdout.decode(errors="replace")
