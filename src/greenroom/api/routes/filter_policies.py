"""Web filter policies: which sites the sessions of a workspace or a group may open."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query
from psycopg.rows import DictRow

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.filter_policies import (
    FilterDecisionView,
    FilterPolicyCreate,
    FilterPolicyPatch,
    FilterPolicyView,
)
from greenroom.api.schemas.images import Port
from greenroom.api.security import Caller, requires
from greenroom.core.web_filter import decision, require_disjoint
from greenroom.db import filter_policies

router = APIRouter(tags=["filter-policies"])

_FIELDS: Final = tuple(FilterPolicyPatch.model_fields)

Host = Annotated[str, Query(min_length=1, max_length=255, description="a host name or an IP address")]


@router.get("/filter-policies", dependencies=[requires("webfilters_view")])
async def list_filter_policies(db: Db, page: Paging) -> list[FilterPolicyView]:
    """All policies by name."""
    rows = page.slice(
        await filter_policies.list_filter_policies(db), lambda policy: [policy["name"].lower(), policy["name"]]
    )
    return [FilterPolicyView.model_validate(policy) for policy in rows]


@router.post("/filter-policies", status_code=201)
async def create_filter_policy(
    body: FilterPolicyCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("webfilters_create")]
) -> FilterPolicyView:
    """Create a policy; it filters nothing until a workspace or a group uses it."""
    require_disjoint(body.allow, body.deny)
    async with db.transaction() as connection:
        policy_id = await filter_policies.insert_filter_policy(connection, body.model_dump())
    policy = await filter_policies.get_filter_policy(db, policy_id)
    audit(logs, caller, "created", "web filter policy", policy["name"], after=_settable(policy))
    return FilterPolicyView.model_validate(policy)


@router.get("/filter-policies/{filter_policy_id}", dependencies=[requires("webfilters_view")])
async def get_filter_policy(filter_policy_id: UUID, db: Db) -> FilterPolicyView:
    """One policy."""
    return FilterPolicyView.model_validate(await filter_policies.get_filter_policy(db, str(filter_policy_id)))


@router.get("/filter-policies/{filter_policy_id}/decision", dependencies=[requires("webfilters_view")])
async def explain_filter_policy(filter_policy_id: UUID, db: Db, host: Host, port: Port = 443) -> FilterDecisionView:
    """Whether the policy lets sessions open a host, and why; nothing is opened."""
    policy = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    verdict = decision(filter_policies.policy_of(policy), host, port)
    return FilterDecisionView(host=host, port=port, action=verdict.action, reason=verdict.reason)


@router.patch("/filter-policies/{filter_policy_id}")
async def update_filter_policy(
    filter_policy_id: UUID,
    body: FilterPolicyPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("webfilters_modify")],
) -> FilterPolicyView:
    """Change a policy; within seconds it holds for running sessions, too."""
    async with db.transaction() as connection:
        before = await filter_policies.lock_filter_policy(connection, str(filter_policy_id))
        fields = _settable(before) | body.sent()
        require_disjoint(fields["allow"], fields["deny"])
        await filter_policies.update_filter_policy(connection, str(filter_policy_id), fields)
    after = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    audit(
        logs,
        caller,
        "changed",
        "web filter policy",
        after["name"],
        before=_settable(before),
        after=_settable(after),
    )
    return FilterPolicyView.model_validate(after)


@router.delete("/filter-policies/{filter_policy_id}", status_code=204)
async def delete_filter_policy(
    filter_policy_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("webfilters_delete")]
) -> None:
    """Delete a policy; 409 while workspaces, groups or sessions use it."""
    policy = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    async with db.transaction() as connection:
        await filter_policies.delete_filter_policy(connection, str(filter_policy_id))
    audit(logs, caller, "deleted", "web filter policy", policy["name"], before=_settable(policy))


def _settable(policy: DictRow) -> dict[str, Any]:
    return {name: policy[name] for name in _FIELDS}
