"""Queries for users and groups: filters, order and pages.

SQL finds rows with an equal name, external id or id. All other comparisons are made in this process, on at most
`MAX_SEARCHED` rows, so that no part of a filter becomes a part of a statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from scim2_models import Resource, SearchRequest
from scim2_models.path import CompareOperator, Comparison, FilterNode, LogicalExpr, LogicalOperator, Not, ValuePath

from greenroom.core.errors import Invalid
from greenroom.db.database import Database
from greenroom.identity.scim import statements
from greenroom.identity.scim.resources import (
    MAX_RESULTS,
    POLICY,
    ScimGroup,
    group_resource,
    translated_errors,
    user_resource,
)
from greenroom.identity.scim.statements import Wanted

MAX_FILTER_CHARACTERS: Final = 4096
MAX_COMPARISONS: Final = 20
MAX_SEARCHED: Final = 10_000
"""The maximum number of users or groups on which a filter or an order is evaluated."""
_INDEXED: Final = {"username": "name", "displayname": "name", "externalid": "external_id", "id": "resource_id"}
"""Attribute, in lower case → the field of `Wanted`."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of resources, and the number of resources on all pages."""

    resources: Sequence[Resource[Any]]
    total: int
    start_index: int


def parse_query(model: Any, parameters: Mapping[str, Any]) -> SearchRequest[Any]:
    """Return the query with these parameters for resources of a model. Raises Invalid: a parameter cannot be used."""
    if len(str(parameters.get("filter") or "")) > MAX_FILTER_CHARACTERS:
        raise Invalid(f"The filter has more than {MAX_FILTER_CHARACTERS} characters.", scim_type="invalidFilter")
    with translated_errors():
        query: SearchRequest[Any] = SearchRequest[model].model_validate(dict(parameters), scim_policy=POLICY)
    if query.filter is not None and sum(1 for _ in _comparisons(query.filter.ast)) > MAX_COMPARISONS:
        raise Invalid(f"The filter has more than {MAX_COMPARISONS} comparisons.", scim_type="invalidFilter")
    return query


def _comparisons(node: FilterNode) -> Iterator[FilterNode]:
    match node:
        case LogicalExpr(terms=terms):
            for term in terms:
                yield from _comparisons(term)
        case Not(expr=inner) | ValuePath(val_filter=inner):
            yield from _comparisons(inner)
        case _:
            yield node


def _wanted(query: SearchRequest[Any], model: type[Resource[Any]], client_id: str) -> Wanted | None:
    """Return the rows among which those of the query are; None if there can be no such row."""
    wanted = Wanted(client_id=client_id, with_members=_needs_members(query))
    node = query.filter.ast if query.filter is not None else None
    terms = node.terms if isinstance(node, LogicalExpr) and node.op == LogicalOperator.and_ else (node,)
    for term in terms:
        if not isinstance(term, Comparison) or term.op != CompareOperator.eq or not isinstance(term.value, str):
            continue
        path = term.attr_path
        name = path.attr.lower()
        field = _INDEXED.get(name) if path.sub_attr is None else None
        if field is None or (name == "displayname" and model is not ScimGroup):
            continue
        if field == "resource_id":
            try:
                UUID(term.value)
            except ValueError:
                return None
        wanted = replace(wanted, **{field: term.value})
    return wanted


def _needs_members(query: SearchRequest[Any]) -> bool:
    """False if neither the answer nor the filter contains the members of groups, which can be many."""
    if "members" in str(query.filter or "").lower():
        return True
    excluded = {path.lower() for path in query.excluded_attributes or []}
    attributes = [path.lower() for path in query.attributes or []]
    return "members" not in excluded and (not attributes or any("members" in path for path in attributes))


async def find_resources(
    db: Database, model: type[Resource[Any]], query: SearchRequest[Any], client_id: str, base_url: str
) -> Found:
    """Return the page of users or groups of a client that a query requests. Raises Invalid: there are too many rows
    for a filter or an order, which the error states."""
    start, count = query.start_index or 1, MAX_RESULTS if query.count is None else min(query.count, MAX_RESULTS)
    wanted = _wanted(query, model, client_id)
    if wanted is None:
        return Found([], 0, start)
    if query.filter is None and query.sort_by is None:
        total = await (statements.count_groups if model is ScimGroup else statements.count_users)(db, client_id)
        page = replace(wanted, offset=min(start - 1, total), limit=count)
        return Found(await _read(db, model, page, base_url), total, start)
    rows = await _read(db, model, replace(wanted, limit=MAX_SEARCHED + 1), base_url)
    if len(rows) > MAX_SEARCHED:
        raise Invalid(
            f"The query concerns more than {MAX_SEARCHED} resources. Add `userName eq`, `externalId eq` or `id eq`.",
            scim_type="tooMany",
        )
    matching = await asyncio.to_thread(_matching, query, rows)
    return Found(matching[start - 1 : start - 1 + count], len(matching), start)


async def _read(db: Database, model: type[Resource[Any]], wanted: Wanted, base_url: str) -> list[Resource[Any]]:
    if model is ScimGroup:
        groups = await statements.read_groups(db, wanted)
        return await asyncio.to_thread(lambda: [group_resource(row, base_url) for row in groups])
    users = await statements.read_users(db, wanted)
    return await asyncio.to_thread(lambda: [user_resource(row, base_url) for row in users])


def _matching(query: SearchRequest[Any], resources: list[Resource[Any]]) -> list[Resource[Any]]:
    with POLICY, translated_errors():
        found = [each for each in resources if query.filter is None or query.filter.match(each)]
        return query.sort(found)
