"""Names of ordered machines, by which those of this installation and pool are known among all a provider shows; and
what providers say, made fit to be shown.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable
from typing import Final

from greenroom.core.fleet.machines.model import Machine
from greenroom.core.masking import MASK
from greenroom.core.wording import one_line

MAX_REF: Final = 200
MAX_SAID: Final = 300
_NAME: Final = re.compile(r"gr-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{32})")
SHORTEST_SECRET: Final = 4
"""Shorter values are not masked: they would be found in every sentence."""
SHORTEST_LINE: Final = 8
"""Shorter lines of a secret are not masked alone."""
_ESCAPES: Final = re.compile(r'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))+')
"""Characters as JSON writes them."""


def machine_name(installation_id: str, machine_pool_id: str, machine_order_id: str) -> str:
    """At most 53 letters, digits and dashes, which every provider takes as the name of a machine."""
    return name_prefix(installation_id, machine_pool_id) + uuid.UUID(machine_order_id).hex


def name_prefix(installation_id: str, machine_pool_id: str) -> str:
    """With what the names of a pool's machines begin."""
    return f"gr-{installation_id[:8]}-{machine_pool_id[:8]}-"


def ours(installation_id: str, machine_pool_id: str, shown: Iterable[tuple[str, str]]) -> tuple[Machine, ...]:
    """The machines of this pool among (ref, name) of all that a provider shows; others' are not looked at."""
    found: list[Machine] = []
    for ref, name in shown:
        match = _NAME.fullmatch(name)
        if match and match[1] == installation_id[:8] and match[2] == machine_pool_id[:8] and is_usable_ref(ref):
            found.append(Machine(ref, str(uuid.UUID(match[3]))))
    return tuple(sorted(found, key=lambda machine: (machine.machine_order_id, machine.ref)))


def is_usable_ref(ref: str) -> bool:
    """Whether the provider's name of a machine can be stored, and be given back to it as it was."""
    return 0 < len(ref) <= MAX_REF and ref.isprintable()


def said(text: str, secrets: Collection[str] = ()) -> str:
    """What a provider said, in one line, without the secrets it was given, and shortened."""
    hidden = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    hidden |= {line for secret in secrets for line in map(str.strip, secret.splitlines()) if len(line) >= SHORTEST_LINE}
    text = _without(hidden, text)
    plain = _ESCAPES.sub(lambda found: json.loads(f'"{found[0]}"'), text)  # a secret may be echoed as JSON
    if (masked := _without(hidden, plain)) != plain:
        text = masked
    line = one_line(" ".join(text.encode(errors="replace").decode().split()))
    return line if len(line) <= MAX_SAID else line[: MAX_SAID - 1] + "…"


def _without(hidden: Collection[str], text: str) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
