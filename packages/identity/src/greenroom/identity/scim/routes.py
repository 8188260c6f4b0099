"""The SCIM server at `/api/scim/v2`: discovery, and the routes of users and groups.

The protocol is RFC 7644. Its answers and errors are not those of `/api/v1`, so these routes are not in the OpenAPI
document.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from scim2_models import Context, ListResponse, PatchOp, Resource, ResponseParameters

from greenroom.api.problems import SCIM_PREFIX
from greenroom.core.errors import MalformedBody, NotFound
from greenroom.identity.scim import group_changes, user_changes
from greenroom.identity.scim.access import REQUIRES_SCIM_TOKEN, ScimCall, ScimCallDep
from greenroom.identity.scim.resources import (
    MEDIA_TYPE,
    POLICY,
    PROVIDER,
    ProvisionedUser,
    ScimGroup,
    translated_errors,
)
from greenroom.identity.scim.search import find_resources, parse_query

router = APIRouter(prefix=f"{SCIM_PREFIX}v2", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _Kind:
    """The model of a kind of resources, and the functions that change them."""

    name: str
    model: Any
    create: Callable[[ScimCall, Any], Awaitable[Resource[Any]]]
    change: Callable[[ScimCall, str, Any, str | None], Awaitable[Resource[Any]]]
    delete: Callable[[ScimCall, str, str | None], Awaitable[None]]
    replacement: Callable[[Any], Any]
    patched: Callable[[Any], Any]


_USERS: Final = _Kind(
    "user",
    ProvisionedUser,
    user_changes.create_user,
    user_changes.change_user,
    user_changes.delete_user,
    user_changes.replacement,
    user_changes.patched,
)
_GROUPS: Final = _Kind(
    "group",
    ScimGroup,
    group_changes.create_group,
    group_changes.change_group,
    group_changes.delete_group,
    group_changes.replacement,
    group_changes.patched,
)


async def _body(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise MalformedBody("The body of the request is not JSON.") from error
    if not isinstance(value, dict):
        raise MalformedBody("The body of the request must be a JSON object.")
    return cast("dict[str, Any]", value)


async def _sent(request: Request, model: Any, context: Context) -> Any:
    """Return the body of a request as this model. The check of thousands of operations takes seconds, so a thread does
    it. Raises Invalid: the body is not valid."""
    body = await _body(request)
    with translated_errors():
        return await asyncio.to_thread(model.model_validate, body, scim_ctx=context, scim_policy=POLICY)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(content, status, headers, media_type=MEDIA_TYPE)


async def _resource(
    resource: Resource[Any], parameters: ResponseParameters[Any], context: Context, status: int
) -> Response:
    content = await asyncio.to_thread(
        resource.model_dump, scim_ctx=context, response_parameters=parameters, scim_policy=POLICY
    )
    meta = resource.meta
    headers = {"ETag": meta.version, "Location": meta.location} if meta and meta.version and meta.location else {}
    return _json(content, status, headers)


def _parameters(kind: _Kind, request: Request) -> ResponseParameters[Any]:
    values = {name: value for name, value in request.query_params.items() if name.lower().endswith("attributes")}
    return parse_query(kind.model, values)


def _id(kind: _Kind, text: str) -> str:
    """Return the id of a resource in its normal form. Raises NotFound: it is no id."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise NotFound(f"There is no {kind.name} {text[:100]!r}; it may have been deleted.") from error


async def _query(kind: _Kind, call: ScimCall, parameters: dict[str, Any], context: Context) -> Response:
    query = parse_query(kind.model, parameters)
    found = await find_resources(call.change.db, kind.model, query, call.client.client_id, call.base_url)
    resources = await asyncio.to_thread(
        lambda: [
            each.model_dump(scim_ctx=context, response_parameters=query, scim_policy=POLICY) for each in found.resources
        ]
    )
    return _list(resources, found.total, found.start_index)


def _list(resources: list[Any], total: int, start_index: int = 1) -> Response:
    answer = {
        "schemas": [str(ListResponse.__schema__)],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }
    return _json(answer)


def _add_routes(endpoint: str, kind: _Kind) -> None:
    """Add the routes of a kind of resources."""

    @router.get(endpoint, name=f"list_scim_{kind.name}s")
    async def query_resources(request: Request, call: ScimCallDep) -> Response:
        return await _query(kind, call, dict(request.query_params), Context.RESOURCE_QUERY_RESPONSE)

    @router.post(f"{endpoint}/.search", name=f"search_scim_{kind.name}s")
    async def search_resources(request: Request, call: ScimCallDep) -> Response:
        return await _query(kind, call, await _body(request), Context.SEARCH_RESPONSE)

    @router.post(endpoint, name=f"create_scim_{kind.name}")
    async def create_resource(request: Request, call: ScimCallDep) -> Response:
        parameters = _parameters(kind, request)
        sent = await _sent(request, kind.model, Context.RESOURCE_CREATION_REQUEST)
        created = await kind.create(call, sent)
        return await _resource(created, parameters, Context.RESOURCE_CREATION_RESPONSE, 201)

    @router.get(f"{endpoint}/{{resource_id}}", name=f"get_scim_{kind.name}")
    async def get_resource(resource_id: str, request: Request, call: ScimCallDep) -> Response:
        parameters = _parameters(kind, request)
        query = parse_query(kind.model, {"filter": f'id eq "{_id(kind, resource_id)}"'})
        found = await find_resources(call.change.db, kind.model, query, call.client.client_id, call.base_url)
        if not found.resources:
            raise NotFound(f"There is no {kind.name} {resource_id}; it may have been deleted.")
        resource = found.resources[0]
        if resource.meta and request.headers.get("if-none-match") == resource.meta.version:
            return Response(status_code=304, headers={"ETag": resource.meta.version or ""})
        return await _resource(resource, parameters, Context.RESOURCE_QUERY_RESPONSE, 200)

    @router.put(f"{endpoint}/{{resource_id}}", name=f"replace_scim_{kind.name}")
    async def replace_resource(resource_id: str, request: Request, call: ScimCallDep) -> Response:
        parameters = _parameters(kind, request)
        sent = await _sent(request, kind.model, Context.RESOURCE_REPLACEMENT_REQUEST)
        version = request.headers.get("if-match")
        changed = await kind.change(call, _id(kind, resource_id), kind.replacement(sent), version)
        return await _resource(changed, parameters, Context.RESOURCE_REPLACEMENT_RESPONSE, 200)

    @router.patch(f"{endpoint}/{{resource_id}}", name=f"patch_scim_{kind.name}")
    async def patch_resource(resource_id: str, request: Request, call: ScimCallDep) -> Response:
        parameters = _parameters(kind, request)
        patch = await _sent(request, PatchOp[kind.model], Context.RESOURCE_PATCH_REQUEST)
        version = request.headers.get("if-match")
        changed = await kind.change(call, _id(kind, resource_id), kind.patched(patch), version)
        return await _resource(changed, parameters, Context.RESOURCE_PATCH_RESPONSE, 200)

    @router.delete(f"{endpoint}/{{resource_id}}", status_code=204, name=f"delete_scim_{kind.name}")
    async def delete_resource(resource_id: str, request: Request, call: ScimCallDep) -> Response:
        await kind.delete(call, _id(kind, resource_id), request.headers.get("if-match"))
        return Response(status_code=204)


_add_routes("/Users", _USERS)
_add_routes("/Groups", _GROUPS)


@router.get("/ServiceProviderConfig")
async def get_service_provider_config(call: ScimCallDep) -> Response:
    """Return what the server supports."""
    return _discovered(PROVIDER.config, f"{call.base_url}/ServiceProviderConfig", "ServiceProviderConfig")


@router.get("/ResourceTypes")
async def list_resource_types(call: ScimCallDep) -> Response:
    """List the kinds of resources."""
    found = [
        _described(each, f"{call.base_url}/ResourceTypes/{each.id}", "ResourceType") for each in PROVIDER.resource_types
    ]
    return _list(found, len(found))


@router.get("/ResourceTypes/{name}")
async def get_resource_type(name: str, call: ScimCallDep) -> Response:
    """Return one kind of resources."""
    resource_type = next((each for each in PROVIDER.resource_types if each.id == name), None)
    return _discovered(resource_type, f"{call.base_url}/ResourceTypes/{name}", "ResourceType")


@router.get("/Schemas")
async def list_schemas(call: ScimCallDep) -> Response:
    """List the schemas of users and groups."""
    found = [_described(each, f"{call.base_url}/Schemas/{each.id}", "Schema") for each in PROVIDER.schemas]
    return _list(found, len(found))


@router.get("/Schemas/{urn}")
async def get_schema(urn: str, call: ScimCallDep) -> Response:
    """Return one schema."""
    schema = next((each for each in PROVIDER.schemas if each.id == urn), None)
    return _discovered(schema, f"{call.base_url}/Schemas/{urn}", "Schema")


@router.post("/.search", dependencies=[Depends(REQUIRES_SCIM_TOKEN)])
async def search_all() -> Response:
    """Refuse a search in users and groups together, which the standard permits."""
    raise HTTPException(501, "Search in /Users or in /Groups")


def _described(resource: Resource[Any], location: str, kind: str) -> dict[str, Any]:
    content = resource.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    return content | {"meta": {"resourceType": kind, "location": location}}


def _discovered(resource: Resource[Any] | None, location: str, kind: str) -> Response:
    if resource is None:
        raise NotFound(f"There is no {kind} at {location}.")
    return _json(_described(resource, location, kind))
