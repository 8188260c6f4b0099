"""The JSON between Greenroom and the programs and addresses of an administrator.

A request is {"action": "list" | "create" | "end", …}; the response {"machines": […]}, {"ref": "…"} or {}, or {"error":
"a sentence", "retry_after_s": 30}.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

import msgspec

from greenroom.core.fleet.machines.provider import is_usable_ref, provider_text
from greenroom.machine_providers.contract import JoinParts, NewMachine, ProviderError, ProviderMachine

MAX_ANSWER_BYTES: Final = 4_000_000
MAX_MACHINES: Final = 10_000


class _Machine(msgspec.Struct, frozen=True):
    ref: str
    name: str


class ProviderAnswer(msgspec.Struct, frozen=True):
    """The response to any action; unknown fields are ignored."""

    machines: list[_Machine] | None = None
    ref: str | None = None
    error: str | None = None
    retry_after_s: float = 0.0


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """The request for an action."""

    action: Literal["list", "create", "end"]
    options: Mapping[str, Any]
    secrets: Mapping[str, str]
    prefix: str | None = None
    name: str | None = None
    ref: str | None = None
    cores: float | None = None
    memory: int | None = None
    user_data: str | None = None
    join: JoinParts | None = None

    @property
    def hidden(self) -> list[str]:
        """The values that no sentence about the request may contain."""
        return [*self.secrets.values(), *([self.join.token] if self.join else [])]


def creation(machine: NewMachine, options: Mapping[str, Any], secrets: Mapping[str, str]) -> Request:
    """Return the request for a new machine."""
    return Request(
        action="create",
        options=options,
        secrets=secrets,
        name=machine.name,
        cores=machine.cores,
        memory=machine.memory,
        user_data=machine.user_data,
        join=machine.join,
    )


def answer_of(content: bytes, source: str, hidden: Collection[str]) -> ProviderAnswer:
    """Return the response, if it is not an error. Raises ProviderError: it is no response, or reports that the request
    failed."""
    try:
        answer = msgspec.json.decode(content or b"{}", type=ProviderAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderError(f"The answer of {source} cannot be read: {provider_text(str(error))}.") from error
    if answer.error is not None:
        words = provider_text(answer.error, hidden).rstrip(".") or "no reason was given"
        raise ProviderError(f"{source} refused: {words}.", retry_after_s=answer.retry_after_s, refused=True)
    return answer


def machines_of(answer: ProviderAnswer, source: str) -> list[ProviderMachine]:
    """Return the machines of a response. Raises ProviderError: there is no list, or it is too long, so that no
    conclusion is possible."""
    if answer.machines is None:
        raise ProviderError(f"The answer of {source} has no list of machines.")
    if len(answer.machines) > MAX_MACHINES:
        raise ProviderError(
            f"{source} returned more than {MAX_MACHINES} machines; it must return only those of this machine pool."
        )
    return [ProviderMachine(machine.ref, machine.name) for machine in answer.machines]


def created_ref(answer: ProviderAnswer, source: str) -> str:
    """Return the provider's reference to the new machine. Raises ProviderError: there is no usable reference; the
    machine may exist."""
    if answer.ref is None or not is_usable_ref(answer.ref):
        raise ProviderError(f"{source} returned no reference (ref) of the new machine.")
    return answer.ref
