"""The routes of `/api/v1`, one module per noun, and where each is served."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from greenroom.api.routes import auth

ROUTERS: Final[tuple[tuple[APIRouter, str], ...]] = ((auth.router, "/api/v1"),)
"""(router, prefix), in the order of the documentation."""
