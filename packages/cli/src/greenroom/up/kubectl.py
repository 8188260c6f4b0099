"""Runs the program kubectl, with the context and in the namespace of a deployment on Kubernetes."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from greenroom.core.errors import SetupError

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
        try:
            result = subprocess.run(
                [*self.command, *arguments], input=stdin, capture_output=True, check=False, timeout=timeout_s
            )
        except FileNotFoundError as error:
            raise _missing_program() from error
        except subprocess.TimeoutExpired as error:
            raise SetupError(f"kubectl {arguments[0]} did not end within {timeout_s:g} s.") from error
        if result.returncode != 0:
            raise _failure(arguments[0], result.stderr)
        return result.stdout.decode(errors="replace")

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

    @contextmanager
    def stream(self, pod: str, container: str, *command: str, **streams: Any) -> Generator[Any]:
        """Run a command in a container for the duration of the block, and yield the process of kubectl. `streams` are
        arguments of Popen.

        Raises:
            SetupError: kubectl is missing, or the command failed.
        """
        stdin = ["--stdin"] if "stdin" in streams else []
        argv = [*self.command, "exec", pod, *stdin, f"--container={container}", "--", *command]
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(argv, stderr=errors, **streams)
            except FileNotFoundError as error:
                raise _missing_program() from error
            with process:
                try:
                    yield process
                except BaseException:
                    process.kill()
                    raise
            if process.returncode != 0:
                errors.seek(0)
                raise _failure("exec", errors.read())


def current_context() -> str | None:
    """Return the current context of the configuration; None if there is none, as in a Pod. Raises SetupError: kubectl
    is missing."""
    try:
        result = subprocess.run([PROGRAM, "config", "current-context"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise _missing_program() from error
    return result.stdout.strip() or None if result.returncode == 0 else None


def render(folder: Path) -> str:
    """Return the YAML documents of a kustomization. Raises SetupError: kubectl is missing, or cannot render them."""
    try:
        result = subprocess.run([PROGRAM, "kustomize", str(folder)], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise _missing_program() from error
    if result.returncode != 0:
        raise _failure("kustomize", result.stderr)
    return result.stdout.decode()


def _missing_program() -> SetupError:
    return SetupError("The program kubectl is missing; install it, and select the cluster in its configuration.")


def _failure(verb: str, errors: bytes) -> SetupError:
    """The error with the last line of kubectl that is not its own note about the exit code."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    messages = [line for line in lines if not line.startswith("command terminated with exit code")] or lines
    return SetupError(f"kubectl {verb} failed: {(messages or ['(no output)'])[-1].rstrip('.')}.")
