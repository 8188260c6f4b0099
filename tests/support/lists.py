"""The lists that console and command line provide, as paths of `/api/v1` in an installation filled by
`tests.support.crowd`."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.crowd import id_of

from greenroom.core.session.states import SessionStatus
from greenroom.db.access.users import USERS
from greenroom.db.launch.ledger import LAUNCHES
from greenroom.db.session.views import SESSIONS


def offered(*, of_many: int, of_few: int) -> list[str]:
    """The paths of all lists. `of_many` and `of_few` are the limits for lists with many rows, and for those with a
    condition that few rows meet."""
    limit, since = f"limit={of_many}", "since=2020-01-01T00:00:00Z"
    both = ("logs", "diagnostics/manager-requests")
    return [
        *_sorted(f"sessions?{limit}", SESSIONS.orders),
        *_sorted(f"sessions?{limit}&ended=true", ["created"]),
        *_sorted(f"launches?{limit}", LAUNCHES.orders),
        *_sorted(f"users?{limit}", USERS.orders),
        *(f"{path}&count=true" for path in (f"sessions?{limit}", f"sessions?{limit}&ended=true", f"launches?{limit}")),
        f"users?{limit}&count=true",
        *(f"{path}?{limit}" for path in both),
        *(f"{path}?{limit}&{time}" for path in both for time in (since, f"until={since[6:]}")),
        *(
            f"{path}&q={word}"
            for path in (
                f"sessions?{limit}",
                f"sessions?{limit}&ended=true",
                *_of(("launches", "users", "logs"), limit),
            )
            for word in ("nothing", "user-77")
        ),
        *_narrowed(f"limit={of_few}"),
        *_of(("staging-configs", "images", "agents", "zones", "managers", "groups"), limit),
        *_of(("join-tokens", "gateways", "api-keys", "filter-policies"), limit),
    ]


def _sorted(path: str, columns: Iterable[str]) -> list[str]:
    return [f"{path}&sort={sign}{column}" for column in columns for sign in ("", "-")]


def _of(paths: Iterable[str], limit: str) -> list[str]:
    return [f"{path}?{limit}" for path in paths]


def _narrowed(limit: str) -> list[str]:
    of = {"user_id": id_of("user", 7), "image_id": id_of("image", 7), "staging_config_id": id_of("pool", 7)}
    narrowed = [f"{name}={value}" for name, value in of.items()]
    sessions = [
        "staged=true", "staged=false", f"status={SessionStatus.RUNNING}", "status=failed", *narrowed,
        f"agent_id={id_of('agent', 7)}",
    ]  # fmt: skip
    launches = [*narrowed[:2], "outcome=failed", "outcome=on_demand"]
    users = [f"group_id={id_of('group')}"]
    logs = [
        *(f"level={level}" for level in ("DEBUG", "INFO", "WARNING", "ERROR")), "component=manager", "component=agent",
        "code=code-7", "code=none", "zone_name=crowd", "zone_name=none",
        f"session_id={id_of('ended', 7)}", f"user_id={id_of('user', 7)}", narrowed[2], "level=ERROR&component=agent",
    ]  # fmt: skip
    requests = [
        "status=503", "status=404", "refused=true", "refused=false", f"agent_id={id_of('agent', 7)}",
        "manager_instance_id=manager-1", "manager_instance_id=none",
    ]  # fmt: skip
    return [
        f"{path}?{limit}&{question}"
        for path, questions in {
            "sessions": [*sessions, *(f"ended=true&{question}" for question in sessions), "set_aside=true"],
            "launches": launches,
            "users": users,
            "logs": logs,
            "diagnostics/manager-requests": requests,
        }.items()
        for question in questions
    ]
