"""Common behavior of all resources of /api/v1, in one table: created, read, changed, listed, deleted, and refused."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.database.api.client import Client

from greenroom.db.access.users import ALL_USERS

UNKNOWN_ID = str(uuid.UUID(int=1))


@dataclass(frozen=True)
class Resource:
    path: str
    key: str
    """The field with the id."""
    body: dict[str, Any]
    """A request for a new object."""
    made: dict[str, Any]
    """The fields of a new object in addition to those requested."""
    change: dict[str, Any]
    changed: dict[str, Any]
    """The displayed values of the fields of `change` afterwards."""
    required: tuple[str, ...]
    unique: str | None
    """The field that must be unique."""
    invalid: list[tuple[dict[str, Any], str]] = field(default_factory=list[tuple[dict[str, Any], str]])
    """Changes of `body`, and words of the refusal."""
    hidden: tuple[str, ...] = ()
    """Fields of `body` that are never returned."""


def refuses(name: str, *values: Any, words: str = "") -> list[tuple[dict[str, Any], str]]:
    """Values that this field cannot have; the refusal names the field unless it has different `words`."""
    return [({name: value}, words or name) for value in values]


ZONES = Resource(
    path="/api/v1/zones",
    key="zone_id",
    body={"zone_name": "eu"},
    made={
        "allow_origin_domain": "$request_host$",
        "upstream_auth_address": "$request_host$",
        "load_balancing_strategy": "Least Load",
        "search_alternate_zones": True,
    },
    change={"allow_origin_domain": "a.example, b.example:8443", "upstream_auth_address": "127.0.0.1:8443"},
    changed={"allow_origin_domain": "a.example,b.example:8443", "upstream_auth_address": "127.0.0.1:8443"},
    required=("zone_name",),
    unique="zone_name",
    invalid=[
        *refuses("zone_name", "a b", None),
        *refuses("allow_origin_domain", "https://a.example", "", "a;b", "a.example,*.example"),
        *refuses("upstream_auth_address", "a.example,b.example", "a.example:99999", " a.example", "300.1.2.3:443"),
        *refuses("load_balancing_strategy", "Random"),
        *refuses("proxy_hostname", "a.example:8443", "a..example", "$request_host$:443"),
        *refuses("proxy_path", "../x", "api"),
        *refuses("proxy_port", 0, 65536),
        *refuses("unknown", 1),
    ],
)
USERS = Resource(
    path="/api/v1/users",
    key="user_id",
    body={"username": "ada", "first_name": "Ada"},
    made={"groups": [{"group_id": ALL_USERS, "name": "All Users"}]},
    change={"last_name": "Lovelace"},
    changed={"last_name": "Lovelace"},
    required=("username",),
    unique="username",
    invalid=[
        *refuses("username", "../x", "a\0b"),
        *refuses("password", "short", words="at least 12"),
        *refuses("first_name", None, "x\0"),
        *refuses("is_admin", True),
        *refuses("groups", [UNKNOWN_ID], words="group"),
    ],
)
GROUPS = Resource(
    path="/api/v1/groups",
    key="group_id",
    body={"name": "Students", "permissions": ["zones_view"], "settings": {"allow_kasm_audio": True}},
    made={"priority": 100, "is_system": False, "num_users": 0},
    change={"settings": {"inject_ssh_keys": True}},
    changed={"settings": {"inject_ssh_keys": True, "allow_kasm_audio": True}},
    required=("name",),
    unique="name",
    invalid=[
        *refuses("permissions", ["root"], words="no permission root"),
        *refuses("settings", {"nonsense": 1}, words="nonsense"),
        *refuses("settings", {"idle_disconnect": "20"}, words="idle_disconnect"),
        *refuses("settings", {"max_kasms_per_user": -1}, words="max_kasms_per_user"),
        *refuses("settings", {"run_config": {"privileged": True}}, words="weakens the isolation of sessions"),
        *refuses("settings", {"volume_mapping": {"/etc": {"bind": "/x"}}}, words="belongs to the host itself"),
        *refuses("settings", {"web_filter_policy": UNKNOWN_ID}, words=UNKNOWN_ID),
        *refuses("settings", {"default_image": "Nonsense"}, words="Nonsense"),
    ],
)
API_KEYS = Resource(
    path="/api/v1/api-keys",
    key="key_id",
    body={"name": "ci", "permissions": ["zones_view"]},
    made={"enabled": True, "read_only": False, "last_used": None},
    change={"enabled": False},
    changed={"enabled": False},
    required=("name",),
    unique=None,
    invalid=[*refuses("permissions", ["root"], words="root"), *refuses("name", "", None)],
)
POLICIES = Resource(
    path="/api/v1/filter-policies",
    key="filter_policy_id",
    body={"name": "Strict", "allow": ["example.com"], "deny": ["ads.example.com"]},
    made={"default_action": "deny", "num_images": 0, "num_groups": 0, "num_sessions": 0},
    change={"allow": ["Example.com", "bücher.example"], "deny": []},
    changed={"allow": ["example.com", "xn--bcher-kva.example"], "deny": []},
    required=("name",),
    unique="name",
    invalid=[
        *refuses("allow", ["https://example.com"], words="write only the domain"),
        *refuses("deny", ["*.example.com"], words="wildcard"),
        *refuses("deny", ["a b"], words="not a domain"),
        *refuses("deny", ["example.com"], words="both allowed and denied"),
        *refuses("default_action", "maybe"),
        *refuses("name", "two\nlines", ""),
        *refuses("categories", []),
    ],
)
IMAGES = Resource(
    path="/api/v1/images",
    key="image_id",
    body={"name": "greenroom/desktop:other", "friendly_name": "Other"},
    made={"cores": 2, "memory": 2768000000, "enabled": True, "available": False, "groups": [ALL_USERS]},
    change={"hidden": True},
    changed={"hidden": True},
    required=("name", "friendly_name"),
    unique="friendly_name",
    invalid=[
        *refuses("name", "No Image", words="The name of an image has the form"),
        *refuses("friendly_name", ""),
        *refuses("cores", 0, 1e9),
        *refuses("memory", -1, 2768),
        *refuses("memory_limit", 2768),
        *refuses("gpu_count", 1, words="gpu_count: is not a known field"),
        *refuses("cpu_allocation_method", "Guess"),
        *refuses("exec_config", {"assign": {"cmd": "echo 'unclosed"}}, {"assign": {"cmd": ""}}, words="assign"),
        *refuses("exec_config", {"assign": "echo"}, {"other": {"cmd": "echo"}}),
        *refuses(
            "exec_config", {"go": {"cmd": "x", "privileged": True}}, words="a command has the rights of its session"
        ),
        *refuses("volume_mappings", {"/srv": "x"}, {"/srv": {"bind": "/x", "mode": "777"}}, words="/srv"),
        *refuses("volume_mappings", {"/{username}": {"bind": "/x"}}, words="must begin with a fixed folder"),
        *refuses("volume_mappings", {"/var/run/docker.sock": {"bind": "/x"}}, words="belongs to the host itself"),
        *refuses("run_config", {"x": "a\0"}),
        *refuses("run_config", {"privileged": True}, words="weakens the isolation of sessions"),
        *refuses("run_config", {"user": "root"}, words="does not run as root"),
        *refuses("persistent_profile_path", "s3://bucket/{username}", words="not a folder of the host"),
        *refuses("persistent_profile_path", "/etc/{username}", words="belongs to the host itself"),
        *refuses("zone_id", UNKNOWN_ID, words="zone"),
        *refuses("restrict_to_zone", True, words="needs zone_id"),
        ({"restrict_to_server": True, "server_id": UNKNOWN_ID}, "There is no Agent"),
        *refuses("docker_registry", "r.example:5000", words="Write the image as r.example:5000/greenroom/desktop"),
        *refuses("filter_policy_id", UNKNOWN_ID, words="There is no such web filter policy; it may have been deleted."),
    ],
)
WEBHOOKS = Resource(
    path="/api/v1/webhooks",
    key="webhook_id",
    body={"name": "ci", "url": "https://example.org/hook", "events": ["pool.full", "launch.done"]},
    made={"enabled": True, "sends": True, "waiting": 0, "last_delivered": None},
    change={"enabled": False, "events": ["lease.ended", "session.failed"]},
    changed={"enabled": False, "sends": False, "events": ["session.failed", "lease.ended"]},
    required=("name", "url", "events"),
    unique="name",
    invalid=[
        *refuses("name", "", "two\nlines"),
        *refuses("events", [], ["launch.maybe"], ["webhook.test"]),
        *refuses("url", ""),
        *refuses("url", "example.org/hook", words="must begin with http"),
        *refuses("url", "http://example.org/hook", words="must begin with https://"),
        *refuses("url", "https://user@example.org/", words="address of a webhook"),
    ],
)
SIGN_ON = Resource(
    path="/api/v1/sign-on-providers",
    key="provider_id",
    body={"name": "campus", "title": "Campus", "issuer": "https://login.example", "client_id": "greenroom"},
    made={"create_users": False, "has_client_secret": False, "rules": [], "scopes": "openid profile email"},
    change={"title": "University", "check_s": 300},
    changed={"title": "University", "check_s": 300},
    required=("name", "title", "issuer", "client_id"),
    unique="name",
    invalid=[
        *refuses("title", "", "two\nlines"),
        *refuses("issuer", "login.example", words="cannot be an issuer"),
        *refuses("issuer", "http://login.example", words="must begin with https://"),
        *refuses("scopes", "profile", words="must contain `openid`"),
        *refuses("scopes", "", " openid"),
        *refuses("attributes", {"color": "claim"}, words="is no field of a user"),
        *refuses("check_s", -1),
    ],
)
PROVISIONING = Resource(
    path="/api/v1/scim-clients",
    key="client_id",
    body={"name": "Okta"},
    made={"provider_id": None, "subject_attribute": "externalId", "enabled": True, "expires": None, "num_users": 0},
    change={"name": "Entra", "subject_attribute": "userName"},
    changed={"name": "Entra", "subject_attribute": "userName"},
    required=("name",),
    unique="name",
    invalid=[
        *refuses("name", "", "two\nlines"),
        *refuses("provider_id", UNKNOWN_ID, words="there is none"),
        *refuses("subject_attribute", "id"),
        *refuses("expires", "2027-01-31T09:30:00"),
    ],
)
DIRECTORIES = Resource(
    path="/api/v1/directories",
    key="directory_id",
    body={
        "name": "campus",
        "title": "Campus",
        "servers": ["ldaps://ldap.example"],
        "user_base": "ou=people,dc=example",
        "password": "s3cret",
    },
    made={"create_users": False, "has_password": True, "rules": [], "tls": "ldaps", "membership": "member"},
    change={"title": "University", "sync_s": 300},
    changed={"title": "University", "sync_s": 300},
    required=("name", "title", "servers", "user_base"),
    unique="name",
    invalid=[
        *refuses("title", "", "two\nlines"),
        *refuses("servers", [], ["ldap.example"], ["ldaps://a b"], ["ldaps://a -x"], ["ldapi:///run/slapd"]),
        *refuses("servers", ["ldap://ldap.example"], words="must begin with ldaps://"),
        *refuses("tls", "starttls", words="must begin with ldap://"),
        *refuses("user_base", "", words="must be the DN"),
        *refuses("user_filter", "", "uid=*", "(a=b", "(a=b))", "(a=b)(c=d)", words="filter"),
        *refuses("login_attributes", [], ["uid)(x"], ["-x"]),
        *refuses("id_attribute", "", "a=b"),
        *refuses("attributes", {"color": "claim"}, words="is no field of a user"),
        *refuses("membership", "guess"),
        *refuses("sync_s", -1),
    ],
    hidden=("password",),
)
SECRETS = Resource(
    path="/api/v1/secrets",
    key="secret_id",
    body={"name": "github", "hosts": ["api.example.com"], "value": "s3cret"},
    made={"header": "Authorization", "template": "Bearer {secret}", "users": [], "owner": None, "num_leases": 0},
    change={"name": "forge"},
    changed={"name": "forge"},
    required=("name", "hosts", "value"),
    unique="name",
    invalid=[
        *refuses("name", "", "two words", "-x"),
        *refuses("hosts", []),
        *refuses("hosts", ["*.example.com"], words="has a wildcard; write .example.com"),
        *refuses("hosts", ["203.0.113.7"], words="is an IP address"),
        *refuses("hosts", ["https://api.example.com"], words="write only the host"),
        *refuses("header", "Host", "Proxy-Authorization", words="controls the connection"),
        *refuses("header", "a b", words="is not the name of a header"),
        *refuses("template", "Bearer", words="must contain {secret} once"),
        *refuses("value", "a\nb", "gehört", words="control character or a character outside of ASCII"),
        *refuses("value", "", words="is empty"),
        *refuses("value", "x" * 2000, words="too long"),
        *refuses("users", [UNKNOWN_ID], words=f"There is no user {UNKNOWN_ID}"),
        *refuses("groups", [UNKNOWN_ID], words=f"There is no group {UNKNOWN_ID}"),
        *refuses("keys", ["none"], words="There is no API key none"),
    ],
    hidden=("value",),
)
RESOURCES = [ZONES, USERS, GROUPS, API_KEYS, POLICIES, IMAGES, WEBHOOKS, SIGN_ON, DIRECTORIES, PROVISIONING, SECRETS]


@pytest.fixture(params=RESOURCES, ids=lambda resource: resource.path)
def resource(request: pytest.FixtureRequest) -> Resource:
    return request.param


async def test_a_resource_is_made_shown_changed_listed_and_deleted(admin: Client, resource: Resource):
    before = await admin.read(resource.path)
    made = await admin.make(resource.path, **resource.body)
    assert made.keys().isdisjoint(resource.hidden)
    expected = {name: value for name, value in resource.body.items() if name not in resource.hidden} | resource.made
    assert {name: made[name] for name in expected} == expected
    one = f"{resource.path}/{made[resource.key]}"
    changed = await admin.change(one, **resource.change)
    assert {name: changed[name] for name in resource.changed} == resource.changed
    kept = (made.keys() & changed.keys()) - {*resource.changed, "valid", "revision", "warnings"}
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    shown = await admin.read(one)
    changed |= {"warnings": shown.get("warnings")}  # about a change, only in its answer
    assert shown == {name: changed[name] for name in shown}
    listed = {entry[resource.key]: entry for entry in await admin.read(resource.path)}
    assert listed.keys() - {entry[resource.key] for entry in before} == {made[resource.key]}
    assert listed[made[resource.key]] == shown
    assert (await admin.delete(one)).status_code == 204
    assert await admin.read(resource.path) == before
    for what in (f"GET {one}", f"PATCH {one}", f"DELETE {one}"):
        assert (await admin.refused(404, what, {})).startswith("not-found: ")


async def test_what_is_needed_is_named_and_no_name_is_given_twice(admin: Client, resource: Resource):
    for name in resource.required:
        body = {key: value for key, value in resource.body.items() if key != name}
        assert name in await admin.refused(422, f"POST {resource.path}", body)
    if resource.unique:
        await admin.make(resource.path, **resource.body)
        assert (await admin.refused(409, f"POST {resource.path}", resource.body)).startswith("duplicate: ")


async def test_what_cannot_be_is_refused_with_the_reason_and_changes_nothing(admin: Client, resource: Resource):
    made = await admin.make(resource.path, **resource.body)
    before = await admin.read(resource.path)
    one, another = f"{resource.path}/{made[resource.key]}", dict(resource.body)
    if resource.unique:
        another[resource.unique] += "2"
    for change, words in resource.invalid:
        assert words in await admin.refused(422, f"PATCH {one}", change), change
        assert words in await admin.refused(422, f"POST {resource.path}", another | change), change
    assert await admin.read(resource.path) == before
