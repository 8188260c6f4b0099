"""`greenroom config` against the api: a document is applied, exported, moved to another installation, and pruned."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import KEY, Client
from tests.database.api.staging import Session
from tests.database.api.test_client import ThroughLoop

from greenroom.cli.client import ApiError
from greenroom.cli.client import Client as Connection
from greenroom.cli.configuration import deployment
from greenroom.cli.configuration.deployment import PlanApplication, export_document, read_snapshot
from greenroom.cli.configuration.document import Document, SecretReference, parse_document, resolve_secrets, to_yaml
from greenroom.cli.configuration.planning import Plan, PlanOptions, plan
from greenroom.cli.server import Server

DOCUMENT = """
version: 1
zones:
  - zone_name: eu
    allow_origin_domain: desk.example, www.example
filter_policies:
  - {name: Exam, default_action: deny, allow: [wikipedia.org, b.example]}
groups:
  - name: Tutors
    roles: [{role: help_desk, groups: [Tutors, Students]}, {role: zone_operator, zones: [eu]}]
  - name: Students
    priority: 50
    permissions: [user]
    settings: {default_image: Browser, web_filter_policy: Exam, idle_disconnect: 30}
sign_on_providers:
  - name: campus
    title: Campus
    issuer: https://id.campus.example
    client_id: greenroom
    client_secret: {env: CAMPUS_SECRET}
    rules: [{claim: groups, value: student, group: Students}]
directories:
  - name: library
    title: Library
    servers: [ldaps://ldap.example]
    user_base: dc=example
    password: {env: LDAP_PASSWORD}
    rules: [{claim: groups, value: cn=student, group: Students}]
workspaces:
  - friendly_name: Browser
    name: registry.example/browser:1
    docker_registry: https://registry.example
    docker_user: reader
    docker_token: {env: REGISTRY_TOKEN}
    filter_policy: Exam
    groups: [Students]
    run_config: {environment: {API_KEY: {env: API_KEY}}}
staging_configs:
  - {workspace: Browser, zone: eu, num_sessions: 2, expiration: 12}
  - {workspace: Browser, zone: eu, num_sessions: 1, expiration: 12, allow_kasm_audio: false, allow_kasm_webcam: true}
machine_pools:
  - name: cloud
    zone: eu
    provider: webhook
    options: {url: https://cloud.example/machines}
    secrets: {token: {env: CLOUD_TOKEN}}
    cores: 8
    memory: 32000000000
    schedule: ["mon-fri 08:00-18:00 Europe/Berlin machines=2"]
    join_url: https://desk.example
webhooks:
  - {name: billing, url: https://hooks.example/greenroom, events: [session.ended]}
"""
SECRETS = {
    "REGISTRY_TOKEN": "registry-secret",
    "API_KEY": "key-secret",
    "CLOUD_TOKEN": "cloud-secret",
    "CAMPUS_SECRET": "campus-secret",
    "LDAP_PASSWORD": "ldap-password",
}
NOTHING: Callable[[str], None] = lambda _: None  # noqa: E731 -- a default


class Deployment:
    """The commands of `greenroom config` for the api of a test."""

    def __init__(self, app: FastAPI) -> None:
        server = Server("https://127.0.0.1:8443", *KEY, ssl.create_default_context(), is_local=False)
        self._client = Connection(server, ThroughLoop(app))

    async def plan(self, document: Document, secrets: dict[str, str] = SECRETS, **options: bool) -> Plan:
        return await asyncio.to_thread(self._plan, document, secrets, PlanOptions(**options))

    async def apply(
        self,
        document: Document,
        secrets: dict[str, str] = SECRETS,
        report: Callable[[str], None] = NOTHING,
        **options: bool,
    ) -> None:
        def run() -> None:
            found = self._plan(document, secrets, PlanOptions(**options))
            PlanApplication(self._client, read_snapshot(self._client, with_sessions=False), report).apply(found)

        await asyncio.to_thread(run)

    async def export(self) -> Document:
        return await asyncio.to_thread(lambda: export_document(read_snapshot(self._client, with_sessions=False)))

    def _plan(self, document: Document, secrets: dict[str, str], options: PlanOptions) -> Plan:
        def look_up(reference: SecretReference) -> str | None:
            return secrets.get(str(reference.env))

        snapshot = read_snapshot(self._client, with_sessions=options.prune)
        return plan(resolve_secrets(document, look_up), snapshot, options)


@pytest.fixture
async def deployment_of_test(app: FastAPI) -> Deployment:
    return Deployment(app)


async def _only(admin: Client, path: str, **fields: Any) -> dict[str, Any]:
    (found,) = [row for row in await admin.read(f"/api/v1{path}") if fields.items() <= row.items()]
    return found


async def test_an_applied_document_is_in_the_deployment_and_changes_nothing_twice(
    deployment_of_test: Deployment, admin: Client
):
    await deployment_of_test.apply(parse_document(DOCUMENT))
    image = await _only(admin, "/images", friendly_name="Browser")
    group = await _only(admin, "/groups", name="Students")
    policy = await _only(admin, "/filter-policies", name="Exam")
    assert (image["groups"], image["filter_policy_id"]) == ([group["group_id"]], policy["filter_policy_id"])
    assert image["run_config"]["environment"] == {"API_KEY": "key-secret"}
    assert group["settings"] == {
        "default_image": image["image_id"],
        "web_filter_policy": policy["filter_policy_id"],
        "idle_disconnect": 30,
    }
    tutors, zone = await _only(admin, "/groups", name="Tutors"), await _only(admin, "/zones", zone_name="eu")
    assert tutors["roles"] == [
        {"role": "help_desk", "zones": None, "groups": sorted([group["group_id"], tutors["group_id"]])},
        {"role": "zone_operator", "zones": [zone["zone_id"]], "groups": None},
    ]
    provider = await _only(admin, "/sign-on-providers", name="campus")
    assert provider["has_client_secret"]
    assert provider["rules"] == [{"claim": "groups", "value": "student", "group_id": group["group_id"]}]
    assert len(await admin.read("/api/v1/staging-configs")) == 2
    assert await deployment_of_test.plan(parse_document(DOCUMENT)) == Plan()


async def test_an_export_has_no_secret_and_equals_the_deployment(deployment_of_test: Deployment):
    await deployment_of_test.apply(parse_document(DOCUMENT))
    text = to_yaml(await deployment_of_test.export())
    assert [secret for secret in [*SECRETS.values(), "hooks.example"] if secret in text] == []
    assert await deployment_of_test.plan(parse_document(text), secrets={}) == Plan()


async def test_an_export_moves_the_configuration_to_an_installation_without_it(
    deployment_of_test: Deployment, admin: Client
):
    await deployment_of_test.apply(parse_document(DOCUMENT))
    moved = parse_document(to_yaml(await deployment_of_test.export()))
    await deployment_of_test.apply({name: [] for name in moved if name != "zones"}, prune=True)
    assert await admin.read("/api/v1/images") == []
    variables = ("CAMPUS_CLIENT_SECRET", "BROWSER_DOCKER_TOKEN", "BROWSER_API_KEY", "CLOUD_TOKEN", "LIBRARY_PASSWORD")
    names: dict[str, str] = dict.fromkeys(variables, "other") | {"BILLING_URL": "https://other.example/hook"}
    missing = await deployment_of_test.plan(moved, secrets={})
    assert sorted(problem.split("`")[1] for problem in missing.problems) == [
        "client_secret",
        "docker_token",
        "password",
        "run_config.environment.API_KEY",
        "secrets.token",
        "url",
    ]
    moved["machine_pools"][0]["join_url"] = "https://other.example"  # an export has none
    await deployment_of_test.apply(moved, secrets=names)
    assert await deployment_of_test.plan(moved, secrets=names) == Plan()
    assert (await _only(admin, "/webhooks", name="billing"))["url"] == "https://other.example/hook"
    changed = await deployment_of_test.plan(moved, secrets=names | {"BILLING_URL": "https://other.example/new"})
    assert [list(action.values) for action in changed.actions] == [["url"]]


async def test_a_changed_provider_gets_its_secret_and_its_groups_by_name(deployment_of_test: Deployment, admin: Client):
    await deployment_of_test.apply(parse_document(DOCUMENT))
    document = parse_document(DOCUMENT)
    (provider,) = document["sign_on_providers"]
    provider |= {"issuer": "https://id.example", "rules": [{"claim": "groups", "value": "x", "group": "Absent"}]}
    (action,), problems = (found := await deployment_of_test.plan(document)).actions, found.problems
    assert sorted(action.values) == ["client_secret", "issuer", "rules"]
    assert problems == ("Sign-on provider campus refers to `Absent`, which is not in groups.",)
    provider["rules"] = []
    await deployment_of_test.apply(document)
    assert (await _only(admin, "/sign-on-providers", name="campus"))["issuer"] == "https://id.example"


async def test_an_api_without_sign_on_has_no_providers(deployment_of_test: Deployment, app: FastAPI):
    app.router.routes[:] = [one for one in app.router.routes if "sign-on-providers" not in getattr(one, "path", "")]
    assert (await deployment_of_test.export())["sign_on_providers"] == []


async def test_a_workspace_with_a_live_session_is_deleted_only_by_force(
    deployment_of_test: Deployment, session: Session, admin: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(deployment, "SESSIONS_END_S", 0.0)
    document = await deployment_of_test.export()
    less: Document = {"workspaces": [], "staging_configs": []}
    assert len((await deployment_of_test.plan(less, prune=True)).problems) == 1
    assert await deployment_of_test.plan({"workspaces": []}) == Plan()
    with pytest.raises(ApiError, match="live sessions: 1"):
        await deployment_of_test.apply(less, prune=True)
    assert len(await admin.read("/api/v1/images")) == len(document["workspaces"])
    with pytest.raises(ApiError, match=r"did not end within 0 s"):
        await deployment_of_test.apply(less, prune=True, force=True)
    assert (await admin.read(f"/api/v1/sessions/{session.session_id}"))["status"] == "deleting"


async def test_a_refused_action_names_the_object_and_what_is_done(deployment_of_test: Deployment, admin: Client):
    document = parse_document(DOCUMENT)
    document["workspaces"][0]["memory"] = 1
    with pytest.raises(ApiError, match=r"workspace Browser: .*memory.* 6 of 13 actions are done"):
        await deployment_of_test.apply(document)
    await _only(admin, "/groups", name="Students")
    document["workspaces"][0]["memory"] = 2_000_000_000
    await deployment_of_test.apply(document)
    assert await deployment_of_test.plan(document) == Plan()


SAML = """
version: 1
sign_on_providers:
  - name: campus
    protocol: saml
    title: Campus
    issuer: https://idp.example/saml
    client_id: https://greenroom.example
    metadata_url: https://idp.example/metadata
    attributes: {username: uid}
"""


async def test_a_saml_provider_is_applied_and_exported(deployment_of_test: Deployment, admin: Client):
    await deployment_of_test.apply(parse_document(SAML))
    provider = await _only(admin, "/sign-on-providers", name="campus")
    assert (provider["protocol"], provider["metadata_url"]) == ("saml", "https://idp.example/metadata")
    exported = parse_document(to_yaml(await deployment_of_test.export()))
    assert await deployment_of_test.plan(exported, secrets={}) == Plan()
    await deployment_of_test.apply(parse_document(SAML.replace("/metadata", "/new")))
    assert (await _only(admin, "/sign-on-providers", name="campus"))["metadata_url"] == "https://idp.example/new"
