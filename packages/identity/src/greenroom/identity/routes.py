"""All routes of sign-on and provisioning."""

from __future__ import annotations

from fastapi import APIRouter

from greenroom.identity import identity_routes, login_routes, provider_routes
from greenroom.identity.directory import routes as directory_routes
from greenroom.identity.saml import routes as saml_routes
from greenroom.identity.scim import client_routes
from greenroom.identity.scim import routes as scim_routes

router = APIRouter()
router.routes += (
    login_routes.router.routes
    + saml_routes.router.routes
    + provider_routes.router.routes
    + identity_routes.router.routes
    + client_routes.router.routes
    + scim_routes.router.routes
    + directory_routes.router.routes
)
