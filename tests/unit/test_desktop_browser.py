"""Files that Selenium uploads for a field of a page (the desktop image's browser.py)."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from tests.unit.desktop_pages import served

browser: Any = importlib.import_module("browser")
"""The module of the image; `tests/browser` has the same name."""

PROGRAM = {"X-Greenroom-Program": "1"}


async def said(request: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A chromedriver that answers with the requested address, and with the body."""
    body = await reader.readexactly(int(request.number("content-length")))
    text = f"{request.path} {body.decode()}".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text) + text)
    await writer.drain()


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    control: Any = SimpleNamespace(viewer="")
    driven = browser.Browser(control)
    driven.driver = SimpleNamespace(returncode=None)
    async with served(said) as driver, served(driven.answer) as client:
        monkeypatch.setattr(browser, "DRIVER_PORT", driver.base_url.port)
        yield client


@pytest.mark.parametrize("path", ["se/file", "file"])
async def test_an_upload_goes_to_the_address_that_chromedriver_knows(page: httpx2.AsyncClient, path: str):
    answer = await page.post(f"webdriver/session/1f/{path}", content="{}", headers=PROGRAM)
    assert answer.text == "/session/1f/file {}"


async def test_no_file_is_uploaded_into_a_session_without_uploads(
    page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(browser, "UPLOADS", False)
    for path in ("se/file", "file"):
        answer = await page.post(f"webdriver/session/1f/{path}", content="{}", headers=PROGRAM)
        assert answer.status_code == 403
        assert answer.json()["value"]["message"] == "Uploads into this session are not allowed."


async def test_a_file_above_the_limit_of_the_session_is_refused(page: httpx2.AsyncClient):
    limited = PROGRAM | {"X-Greenroom-Max-Upload-MB": "1"}
    answer = await page.post("webdriver/session/1f/se/file", content=b"x" * 1_400_000, headers=limited)
    assert answer.status_code == 413
