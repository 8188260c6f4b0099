"""The name, logo, notice and support link, which everyone may read and administrators change."""

from __future__ import annotations

from tests.database.api.client import Client
from tests.database.api.test_catalogue import picture

BRANDING = "/api/v1/branding"
LOGO = "/api/v1/branding/logo"


async def test_a_new_installation_has_no_branding(anonymous: Client):
    assert await anonymous.read(BRANDING) == {"name": "", "notice": "", "support_url": "", "logo_url": None}
    assert (await anonymous.get(LOGO)).status_code == 404


async def test_everyone_sees_the_settings_of_the_log_in_page(admin: Client, anonymous: Client):
    notice = "For staff of the university."
    await admin.change(
        "/api/v1/settings",
        installation_name="Uni Desks",
        login_notice=notice,
        support_url="mailto:it@example.org",
    )
    seen = await anonymous.read(BRANDING)
    assert (seen["name"], seen["notice"], seen["support_url"]) == ("Uni Desks", notice, "mailto:it@example.org")


async def test_the_address_of_a_logo_changes_with_it(admin: Client, anonymous: Client):
    addresses: list[str] = []
    for size in ((800, 400), (64, 64)):
        stored = await admin.put(LOGO, content=picture(size=size))
        assert stored.status_code == 200, stored.text
        addresses.append(stored.json()["logo_url"])
        shown = await anonymous.get(addresses[-1])
        assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    assert len(set(addresses)) == 2
    removed = await admin.delete(LOGO)
    assert removed.json()["logo_url"] is None
    assert (await anonymous.get(LOGO)).status_code == 404


async def test_only_pictures_are_logos(admin: Client):
    for content in (b"<svg onload='alert(1)'/>", b""):
        refused = await admin.put(LOGO, content=content)
        assert refused.status_code == 422, refused.text


async def test_users_cannot_change_the_logo(user: Client):
    assert (await user.put(LOGO, content=picture())).status_code == 403
    assert (await user.delete(LOGO)).status_code == 403
