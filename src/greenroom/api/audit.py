"""Who changed what: every change by an administrator is a log row with the values before and after."""

from __future__ import annotations

from typing import Any, Final, Literal

from fastapi.encoders import jsonable_encoder

from greenroom.api.security import Caller
from greenroom.db.logs import LogWriter

SECRET: Final = frozenset({"password", "docker_token", "key_secret", "token", "secret_hash", "password_hash"})

Verb = Literal["created", "changed", "deleted"]


def audit(
    logs: LogWriter,
    caller: Caller,
    verb: Verb,
    noun: str,
    name: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write the row `<noun>-<verb>`: "admin@greenroom.local changed zone eu: proxy_port 443 → 8443".

    Args:
        logs: where to.
        caller: who did it.
        verb: what he did.
        noun: kind of thing, e.g. `zone`.
        name: of the thing, as people know it.
        before: fields that changed, with their old values (or the whole of what was deleted).
        after: the new values. Secrets are named, never shown.
    """
    old, new = _shown(before), _shown(after)
    if verb == "changed":
        names = [name for name in new if new[name] != old.get(name) or name in SECRET]
        old, new = {n: old.get(n) for n in names}, {n: new[n] for n in names}
        if not names:
            return
    what = "; ".join(f"{n} {_short(old.get(n))} → {_short(new[n])}" for n in new) if verb == "changed" else ""
    logs.write(
        "INFO",
        f"{noun.replace(' ', '-')}-{verb}",
        f"{caller.name} {verb} {noun} {name}" + (f": {what}" if what else ""),
        user_id=caller.user_id,
        username=caller.username,
        details={"who": caller.name, "before": old, "after": new},
    )


def _shown(values: dict[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = jsonable_encoder(values or {})
    return {name: "(secret)" if name in SECRET else value for name, value in shown.items()}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "…"
