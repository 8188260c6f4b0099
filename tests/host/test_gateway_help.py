"""The gateway serves the documentation site at /help."""

from __future__ import annotations

import re

import httpx2
import pytest
from tests.support.gateways import World, give
from tests.support.world_fixtures import own_world, shared_world, world

from greenroom.kit.program import version

__all__ = ["own_world", "shared_world", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN_HEADERS = {"accept-ranges", "content-length", "date", "etag", "last-modified", "transfer-encoding"}
"""The headers that differ between two files. The nonce of the console excludes ranges."""


def shared_headers(reply: httpx2.Response) -> dict[str, str]:
    """Return the headers that both sites share. The console also allows style sheets with the nonce of its page."""
    policy = re.sub("style-src [^;]+;", "", reply.headers["Content-Security-Policy"])
    found = {name: value for name, value in reply.headers.items() if name not in OWN_HEADERS}
    return found | {"content-security-policy": policy}


async def test_the_site_has_the_headers_of_the_console(own_world: World):
    site = own_world.folder / "help"
    (site / "1.0").mkdir(parents=True)
    (site / "index.html").write_text("versions")
    (site / "1.0/README.html").write_text("overview")
    give(site, own_world.account)
    client = own_world.client(follow_redirects=True, headers={"Accept-Encoding": "identity"})
    console = await client.get(own_world.main)
    assert "script-src 'self';" in console.headers["Content-Security-Policy"]
    for path, text in (("/help", "versions"), ("/help/1.0", "overview"), ("/help/1.0/README.html", "overview")):
        reply = await client.get(f"{own_world.main}{path}")
        assert (reply.status_code, reply.text) == (200, text)
        assert shared_headers(reply) == shared_headers(console)
        assert re.findall("style-src ([^;]+);", reply.headers["Content-Security-Policy"]) == ["'self' "]


async def test_links_without_a_version_lead_to_that_of_the_gateway(world: World):
    for path, page in (("docs/howto/back-up.html?q=1", "docs/howto/back-up.html?q=1"), ("docs/", "index.html")):
        reply = await world.client().get(f"{world.main}/help/{path}")
        expected = f"/help/{page}" if page == "index.html" else f"/help/{version()}/{page}"
        assert (reply.status_code, reply.headers["Location"]) == (302, expected)


async def test_a_missing_page_links_to_the_site(world: World):
    reply = await world.client().get(f"{world.main}/help/1.0/missing.html")
    assert (reply.status_code, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert 'does not exist.</p>\n    <p><a href="/help">' in reply.text


async def test_without_the_site_a_sentence_links_to_the_console(world: World):
    reply = await world.client(follow_redirects=True).get(f"{world.main}/help")
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (
        'does not contain the documentation; script/docs builds it in a clone.</p>\n    <p><a href="/">' in reply.text
    )
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
