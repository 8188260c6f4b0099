"""What is asked of secrets; `scripts` has what these are made of. Values are sent and never come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import msgspec

from greenroom.client.models import Secret
from greenroom.client.retries import Retries
from greenroom.client.scripts import PREFIX, Script, Send, answered, rows, words
from greenroom.shared.errors import NotFound

PATH = f"{PREFIX}/secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChange:
    """Fields of a secret; None = as it is, of a new one as the server has it."""

    name: str | None = None
    hosts: Sequence[str] | None = None
    value: str | None = None
    header: str | None = None
    template: str | None = None
    description: str | None = None

    @property
    def body(self) -> Mapping[str, object]:
        hosts = {} if self.hosts is None else {"hosts": words(self.hosts, "hosts", '["api.example.com"]')}
        return {name: value for name, value in asdict(self).items() if value is not None} | hosts


def secrets(retries: Retries) -> Script[list[Secret]]:
    """All that the caller may see, by name."""
    return msgspec.convert((yield from rows(PATH, {}, retries)), type=list[Secret])


def created(wish: SecretChange, retries: Retries) -> Script[Secret]:
    """A new one."""
    return _secret((yield from answered(Send(method="POST", path=PATH, body=wish.body), retries)).content)


def changed(secret_id: str, wish: SecretChange, retries: Retries) -> Script[Secret]:
    """The secret, with some fields replaced."""
    send = Send(method="PATCH", path=f"{PATH}/{secret_id}", body=wish.body)
    return _secret((yield from answered(send, retries)).content)


def deleted(secret_id: str, retries: Retries) -> Script[None]:
    """Delete it, if it is there."""
    try:
        yield from answered(Send(method="DELETE", path=f"{PATH}/{secret_id}"), retries)
    except NotFound:
        return


def _secret(content: bytes) -> Secret:
    return msgspec.json.decode(content, type=Secret)
