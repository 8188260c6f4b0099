"""Changes by administrators, over both interfaces, in an order in which each change is possible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.kit.ssh_keys import new_key_pair

SECRET: Final = "correct horse battery"
VARIABLES: Final = {"environment": {"TOKEN": SECRET}}
PAIR: Final = new_key_pair("ada")


@dataclass(frozen=True)
class Step:
    """A request that changes something, and the code of its row; `{name}` stands for an id that was `saved` before."""

    method: str
    path: str
    code: str
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    saved: str = ""


def v1(what: str, code: str, body: dict[str, Any] | None = None, saved: str = "") -> Step:
    method, _, path = what.partition(" ")
    return Step(method, f"/api/v1{path}", code, body or {}, saved)


def scim(what: str, code: str, body: dict[str, Any] | None = None, saved: str = "") -> Step:
    method, _, path = what.partition(" ")
    return Step(method, f"/api/scim/v2{path}", code, body or {}, saved)


def public(name: str, code: str, **body: Any) -> Step:
    return Step("POST", f"/api/public/{name}", code, body)


STEPS: Final = [
    v1("PATCH /settings", "setting-changed", {"max_login_attempts": 4}),
    v1("PUT /branding/logo", "setting-changed"),
    v1("DELETE /branding/logo", "setting-changed"),
    v1("POST /zones", "zone-created", {"zone_name": "us"}, "zone_id"),
    v1("PATCH /zones/{zone_id}", "zone-changed", {"proxy_port": 8443}),
    v1("DELETE /zones/{zone_id}", "zone-deleted"),
    v1(
        "POST /machine-pools",
        "machine-pool-created",
        {
            "name": "cloud",
            "zone_id": "{default_zone_id}",
            "provider": "simulated",
            "secrets": {"key": SECRET},
            "cores": 4,
            "memory": 8_000_000_000,
        },
        "machine_pool_id",
    ),
    v1("PATCH /machine-pools/{machine_pool_id}", "machine-pool-changed", {"secrets": {"key": SECRET}, "idle_s": 60}),
    v1("DELETE /machine-pools/{machine_pool_id}", "machine-pool-deleted"),
    v1(
        "POST /webhooks",
        "webhook-created",
        {"name": "ci", "url": "https://example.org/hook", "events": ["pool.full"]},
        "webhook_id",
    ),
    v1("PATCH /webhooks/{webhook_id}", "webhook-changed", {"enabled": False}),
    v1("POST /webhooks/{webhook_id}/secret", "webhook-changed"),
    v1("DELETE /webhooks/{webhook_id}", "webhook-deleted"),
    v1(
        "POST /secrets",
        "secret-created",
        {"name": "github", "hosts": ["api.example.com"], "value": SECRET},
        "secret_id",
    ),
    v1("PATCH /secrets/{secret_id}", "secret-changed", {"value": SECRET + "2"}),
    v1("DELETE /secrets/{secret_id}", "secret-deleted"),
    v1(
        "POST /sign-on-providers",
        "sign-on-provider-created",
        {
            "name": "campus",
            "title": "Campus",
            "issuer": "https://login.example",
            "client_id": "greenroom",
            "client_secret": SECRET,
        },
        "provider_id",
    ),
    v1("PATCH /sign-on-providers/{provider_id}", "sign-on-provider-changed", {"client_secret": SECRET + "2"}),
    v1("POST /sign-on-providers/{provider_id}/forget-keys", "sign-on-provider-changed"),
    v1(
        "POST /directories",
        "directory-created",
        {
            "name": "campus",
            "title": "Campus",
            "servers": ["ldaps://ldap.example"],
            "user_base": "dc=example",
            "password": SECRET,
        },
        "directory_id",
    ),
    v1("PATCH /directories/{directory_id}", "directory-changed", {"password": SECRET + "2"}),
    v1("POST /directories/{directory_id}/sync", "directory-changed", {}),
    v1("DELETE /directories/{directory_id}", "directory-deleted"),
    v1("POST /users", "user-created", {"username": "carol"}, "user_id"),
    v1(
        "POST /users/{user_id}/identities",
        "identity-created",
        {"issuer": "https://login.example", "subject": "carol"},
        "identity_id",
    ),
    v1("DELETE /users/{user_id}/identities/{identity_id}", "identity-deleted"),
    v1("DELETE /users/{user_id}", "user-deleted"),
    v1("DELETE /sign-on-providers/{provider_id}", "sign-on-provider-deleted"),
    v1("POST /scim-clients", "scim-client-created", {"name": "Okta"}, "client_id"),
    v1("PATCH /scim-clients/{client_id}", "scim-client-changed", {"subject_attribute": "userName"}),
    scim("POST /Users", "user-created", {"userName": "eve", "password": SECRET}, "resource_id"),
    scim("PUT /Users/{resource_id}", "user-changed", {"userName": "eve", "displayName": "Eve"}),
    scim(
        "PATCH /Users/{resource_id}",
        "user-changed",
        {"Operations": [{"op": "replace", "path": "active", "value": False}]},
    ),
    scim("DELETE /Users/{resource_id}", "user-deleted"),
    scim("POST /Groups", "group-created", {"displayName": "Staff"}, "resource_id"),
    scim("PUT /Groups/{resource_id}", "group-changed", {"displayName": "All staff"}),
    scim(
        "PATCH /Groups/{resource_id}",
        "group-changed",
        {"Operations": [{"op": "add", "path": "externalId", "value": "g1"}]},
    ),
    scim("DELETE /Groups/{resource_id}", "group-deleted"),
    v1("POST /scim-clients/{client_id}/token", "scim-client-changed"),
    v1("DELETE /scim-clients/{client_id}", "scim-client-deleted"),
    v1("POST /join-tokens", "join-token-created", {"zone_id": "{default_zone_id}"}, "join_token_id"),
    v1("DELETE /join-tokens/{join_token_id}", "join-token-deleted"),
    v1("DELETE /gateways/{gateway_id}", "gateway-deleted"),
    v1("PATCH /managers/{manager_id}", "manager-changed", {"enabled": False}),
    v1("DELETE /managers/{manager_id}", "manager-deleted"),
    v1("PATCH /agents/{agent_id}", "agent-changed", {"draining": True}),
    v1("DELETE /homes/{home_id}", "home-folder-deleted"),
    v1("DELETE /agents/{agent_id}/credential", "agent-credential-deleted"),
    v1("DELETE /agents/{agent_id}", "agent-deleted"),
    v1("POST /filter-policies", "web-filter-policy-created", {"name": "strict"}, "filter_policy_id"),
    v1("PATCH /filter-policies/{filter_policy_id}", "web-filter-policy-changed", {"deny": ["example.com"]}),
    v1("DELETE /filter-policies/{filter_policy_id}", "web-filter-policy-deleted"),
    v1(
        "POST /images",
        "workspace-created",
        {"name": "editor:1", "friendly_name": "Editor", "docker_token": SECRET, "run_config": VARIABLES},
        "image_id",
    ),
    v1(
        "PATCH /images/{image_id}",
        "workspace-changed",
        {"docker_token": SECRET + "2", "exec_config": {"go": {"cmd": "true", **VARIABLES}}},
    ),
    v1(
        "POST /staging-configs",
        "staging-config-created",
        {"zone_id": "{default_zone_id}", "image_id": "{image_id}", "num_sessions": 1, "expiration": 1},
        "staging_config_id",
    ),
    v1("PATCH /staging-configs/{staging_config_id}", "staging-config-changed", {"num_sessions": 2}),
    v1("POST /staging-configs/{staging_config_id}/recycle", "staging-config-changed"),
    v1("DELETE /staging-configs/{staging_config_id}", "staging-config-deleted"),
    v1("POST /users", "user-created", {"username": "ada", "password": SECRET}, "user_id"),
    v1("PATCH /users/{user_id}", "user-changed", {"first_name": "Ada", "password": SECRET + "2"}),
    v1("PATCH /users/{user_id}/attributes", "user-changed", {"ssh_private_key": PAIR.private}),
    v1("POST /users/{user_id}/ssh-key", "user-changed"),
    v1("DELETE /users/{user_id}/logins", "user-changed"),
    v1("DELETE /users/{user_id}/second-factors", "second-factor-deleted"),
    v1("DELETE /users/{user_id}/logins/{login_id}", "user-changed"),
    v1("POST /service-accounts", "service-account-created", {"name": "ci"}, "service_account_id"),
    v1("PATCH /service-accounts/{service_account_id}", "service-account-changed", {"networks": ["10.0.0.0/8"]}),
    v1("DELETE /service-accounts/{service_account_id}", "service-account-deleted"),
    v1("POST /groups", "group-created", {"name": "Students", "settings": {"run_config": VARIABLES}}, "group_id"),
    v1("PATCH /groups/{group_id}", "group-changed", {"settings": {"run_config": {"environment": {"TOKEN": "other"}}}}),
    v1("PUT /groups/{group_id}/users/{user_id}", "group-changed"),
    v1("DELETE /groups/{group_id}/users/{user_id}", "group-changed"),
    v1("PUT /groups/{group_id}/images/{image_id}", "group-changed"),
    v1("DELETE /groups/{group_id}/images/{image_id}", "group-changed"),
    v1("DELETE /groups/{group_id}", "group-deleted"),
    v1("DELETE /images/{image_id}", "workspace-deleted"),
    v1("POST /catalogues", "catalogue-created", {"name": "acme", "list_url": "https://a.example"}, "catalogue_id"),
    v1("POST /catalogue/{name:path}", "workspace-created", {}, "image_id"),
    v1("POST /images/{image_id}/refresh", "workspace-changed"),
    v1("PUT /images/{image_id}/picture", "workspace-changed"),
    v1("DELETE /images/{image_id}/picture", "workspace-changed"),
    v1("DELETE /catalogues/{catalogue_id}", "catalogue-deleted"),
    v1("DELETE /users/{user_id}", "user-deleted"),
    v1("POST /api-keys", "api-key-created", {"name": "ci"}, "key_id"),
    v1("PATCH /api-keys/{key_id}", "api-key-changed", {"permissions": ["zones_view"]}),
    v1("POST /api-keys/{key_id}/rotate", "api-key-changed", {"overlap_s": 60}),
    v1("DELETE /api-keys/{key_id}", "api-key-deleted"),
]
"""All changes through /api/v1, in an order in which each is possible."""

PUBLIC_STEPS: Final = [
    public("create_user", "user-created", target_user={"username": "bob", "password": SECRET}),
    public("update_user", "user-changed", target_user={"user_id": "{bob}", "last_name": "B", "password": SECRET + "2"}),
    public("update_user_attributes", "user-changed", target_user_attributes={"user_id": "{bob}", "theme": "dark"}),
    public("update_attributes", "user-changed", target_user_attributes={"user_id": "{bob}", "theme": "light"}),
    public("logout_user", "user-changed", target_user={"user_id": "{bob}"}),
    public("create_group", "group-created", target_group={"name": "Team"}),
    public("update_group", "group-changed", target_group={"group_id": "{Team}", "priority": 3}),
    public("add_user_group", "group-changed", target_group={"group_id": "{Team}"}, target_user={"user_id": "{bob}"}),
    public("remove_user_group", "group-changed", target_group={"group_id": "{Team}"}, target_user={"user_id": "{bob}"}),
    public(
        "add_settings_group",
        "group-changed",
        target_group={"group_id": "{Team}"},
        target_setting={"name": "run_config", "value": VARIABLES},
    ),
    public(
        "set_settings_group",
        "group-changed",
        target_group={"group_id": "{Team}"},
        target_setting={"name": "allow_kasm_audio", "value": "True"},
    ),
    public(
        "remove_settings_group",
        "group-changed",
        target_group={"group_id": "{Team}"},
        target_setting={"name": "allow_kasm_audio"},
    ),
    public(
        "create_image",
        "workspace-created",
        target_image={"name": "tool:1", "friendly_name": "Tool", "docker_token": SECRET, "run_config": "{}"},
    ),
    public("update_image", "workspace-changed", target_image={"image_id": "{Tool}", "description": "A tool"}),
    public(
        "add_images_group", "group-changed", target_group={"group_id": "{Team}"}, target_image={"image_id": "{Tool}"}
    ),
    public(
        "remove_images_group", "group-changed", target_group={"group_id": "{Team}"}, target_image={"image_id": "{Tool}"}
    ),
    public(
        "create_staging_config",
        "staging-config-created",
        target_staging_config={
            "zone_id": "{default_zone_id}",
            "image_id": "{Tool}",
            "num_sessions": 1,
            "expiration": 1,
        },
    ),
    public(
        "update_staging_config",
        "staging-config-changed",
        target_staging_config={"staging_config_id": "{config}", "num_sessions": 2},
    ),
    public("delete_staging_config", "staging-config-deleted", target_staging_config={"staging_config_id": "{config}"}),
    public("delete_image", "workspace-deleted", target_image={"image_id": "{Tool}"}),
    public("delete_group", "group-deleted", target_group={"group_id": "{Team}"}),
    public("delete_session_token", "user-changed", target_session_token={"session_token": "{first}"}),
    public("delete_session_tokens", "user-changed", target_user={"user_id": "{bob}"}),
    public("delete_user", "user-deleted", target_user={"user_id": "{bob}"}),
    public("create_zone", "zone-created", target_zone={"zone_name": "asia"}),
    public("update_zone", "zone-changed", target_zone={"zone_id": "{asia}", "proxy_port": 8443}),
    public("delete_zone", "zone-deleted", target_zone={"zone_id": "{asia}"}),
    public("create_registry", "catalogue-created", registry="https://a.example"),
    public("delete_registry", "catalogue-deleted", registry_id="{registry}"),
    public("update_manager", "manager-changed", target_manager={"manager_id": "{manager_id}", "enabled": False}),
    public("update_agent", "agent-changed", target_agent={"agent_id": "{agent_id}", "enabled": False}),
    public("delete_agent", "agent-deleted", target_agent={"agent_id": "{agent_id}"}),
]
"""All changes through the published interface."""
