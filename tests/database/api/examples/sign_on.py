"""Sign-on at a provider on this host, which accepts every request."""

from __future__ import annotations

import json
from typing import Final

from tests.database.api.examples.step import Scene, Step, Wrong, step
from tests.database.api.signing_on import forged

from greenroom.db.access.users import ALL_USERS

SHOWN_ISSUER: Final = "https://login.example.org"
SAMPLE: Final = json.dumps({"sub": "248289761001", "preferred_username": "linus", "groups": ["staff", "it-admins"]})


async def visitor_links(scene: Scene) -> None:
    """The identity of the visitor, as after a link."""
    user_id = await scene.clients["visitor"].own_id()
    created = await scene.clients["admin"].make(
        f"/api/v1/users/{user_id}/identities", issuer=scene.ids["issuer"], subject="248289761002"
    )
    scene.ids["identity_id"] = created["identity_id"]


async def visitor_confirms(scene: Scene) -> None:
    """A proof of identity in the log-in of the visitor, which a link began."""
    await scene.db.write("UPDATE login_sessions SET confirmed = now()")


async def elsewhere_logs_in(scene: Scene) -> None:
    """A log-in of the visitor's user through the provider."""
    scene.ids["forger"].claims = {"sub": "248289761002"}
    await forged(scene.ids["forger"], scene.clients["elsewhere"])
    scene.clients["elsewhere"].headers["Sec-Fetch-Site"] = "same-origin"


async def of_bob(scene: Scene) -> None:
    scene.ids["user_id"] = scene.ids["bob_id"]


SIGN_ON: Final[list[Step]] = [
    step(
        "create_sign_on_provider",
        {
            "name": "campus",
            "title": "Example University",
            "issuer": "{issuer}",
            "client_id": "greenroom",
            "client_secret": "SECRET-OF-THE-CLIENT",
            "check_s": 900,
        },
        saves="provider_id",
        wrong=Wrong(body={"issuer": "http://login.example.org"}),
    ),
    step("list_sign_on_providers", wrong=Wrong(by="ada")),
    step("get_sign_on_provider"),
    step("update_sign_on_provider", {"scopes": "openid profile"}, wrong=Wrong(body={"scopes": "profile"})),
    step("test_sign_on_provider"),
    step("forget_sign_on_keys"),
    step(
        "preview_sign_on_rules",
        {"rules": [{"claim": "groups", "value": "it-*", "group_id": ALL_USERS}], "sample": SAMPLE},
        wrong=Wrong(body={"sample": "linus"}),
    ),
    step(
        "create_scim_client",
        {"name": "Okta", "provider_id": "{provider_id}"},
        saves="client_id",
        wrong=Wrong(again=True),
    ),
    step("list_scim_clients", wrong=Wrong(by="ada")),
    step("get_scim_client"),
    step("update_scim_client", {"enabled": False}, wrong=Wrong(body={"subject_attribute": "id"})),
    step("rotate_scim_token", {"overlap_s": 3600}),
    step("delete_scim_client", wrong=Wrong(again=True)),
    step("list_sign_on", wrong=Wrong(by="misdirected")),
    step("start_sign_on", {"next": "/"}, by="visitor", wrong=Wrong(ids={"provider_name": "unknown"})),
    step("start_link", {"provider": "campus"}, by="ada", wrong=Wrong(body={"provider": "unknown"})),
    step("create_user_identity", {"issuer": "{issuer}", "subject": "248289761001"}, saves="identity_id", before=of_bob),
    step("list_user_identities"),
    step("delete_user_identity"),
]
DIRECTORIES: Final[list[Step]] = [
    step(
        "create_directory",
        {
            "name": "campus",
            "title": "Example University",
            "servers": ["ldaps://ldap.example.org"],
            "bind_dn": "cn=greenroom,dc=example,dc=org",
            "password": "SECRET-OF-THE-ACCOUNT",
            "user_base": "ou=people,dc=example,dc=org",
        },
        saves="directory_id",
        wrong=Wrong(body={"servers": ["ldap://ldap.example.org"]}),
    ),
    step("list_directories", wrong=Wrong(by="ada")),
    step("get_directory"),
    step("update_directory", {"membership": "nested"}, wrong=Wrong(body={"user_filter": "uid"})),
    step("test_directory", {"username": "linus"}),
    step("preview_synchronization"),
    step("synchronize_directory", {"force": False}),
    step("delete_directory", wrong=Wrong(again=True)),
]
AFTERWARDS: Final[list[Step]] = [
    step("list_own_identities", by="visitor", before=visitor_links, wrong=Wrong(by="anonymous")),
    step("log_out_at_provider", by="elsewhere", before=elsewhere_logs_in, wrong=Wrong(again=True)),
    step("delete_own_identity", by="visitor", before=visitor_confirms),
    step("delete_sign_on_provider", wrong=Wrong(again=True)),
]
