"""Steps of tests of directories: add a directory, and log in with its passwords."""

from __future__ import annotations

from typing import Any

import httpx2
from tests.database.api.client import SAME_ORIGIN, Client
from tests.support.active_directory import ActiveDirectory
from tests.support.directories import PASSWORD, Slapd

DIRECTORIES = "/api/v1/directories"


async def add(admin: Client, server: Slapd | ActiveDirectory, name: str = "campus", **fields: Any) -> dict[str, Any]:
    """Add the directory of a server."""
    return await admin.make(DIRECTORIES, **{"name": name, "title": name.title(), **server.fields, **fields})


async def log_in(browser: Client, username: str, password: str = PASSWORD) -> httpx2.Response:
    """Log in at the form."""
    return await browser.post("/api/v1/login", json={"username": username, "password": password}, headers=SAME_ORIGIN)
