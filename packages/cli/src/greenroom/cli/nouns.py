"""The nouns of the command line: their names, the columns of their lists, and the verbs that only send one request.

`greenroom.cli.verbs` creates the verbs from this table. The options of `list`, `create`, `update` and `delete` are not
in the table: they are created from the fields of the requests of the api. `excluded` names verbs and fields.
"""

from __future__ import annotations

from typing import Final

from greenroom.cli.noun import Noun, RequestVerb
from greenroom.cli.output import Column, Row, columns
from greenroom.core.text import size


def _session_counts(config: Row) -> str:
    starting = config["num_starting_sessions"]
    return f"{config['num_current_sessions']}" + (f" (+{starting})" if starting else "")


def _shortfall_text(config: Row) -> str | None:
    paused = "Paused." if config["paused"] else None
    shortfall = config["shortfall"]
    reason = shortfall and f"{shortfall['code']}: {shortfall['reason']}"
    return " ".join(filter(None, [paused, reason, config["warning"]])) or None


def _permission_text(config: Row) -> str:
    prefix = "allow_kasm_"
    permissions = {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}
    denied = [name.replace("_", " ") for name, is_allowed in permissions.items() if not is_allowed]
    return f"all but {', '.join(denied)}" if denied else "all"


def _user_of_session(session: Row) -> str:
    """Return the user, or a note that the session waits in a pool for a user or is quarantined."""
    if session.get("set_aside_reason"):
        return "(quarantined)"
    waits = session["staging_config_id"] and not session["user_id"]
    return session["username"] or ("(staged)" if waits else "-")


def _state_of_video(video: Row) -> str:
    if not video["is_stored"]:
        return "not stored"
    return "complete" if video["ended"] else "without its end" if video["is_over"] else "recording"


_STATUS: Final = Column("Status", lambda row: ". ".join(filter(None, [row["status"], row["status_reason"]])))

STEP_COLUMNS: Final = columns("order step zone_name used code setting reason")

_SERVICE_ACCOUNTS: Final = Noun(
    "service-accounts",
    "service account",
    name_field="name",
    actions=(
        RequestVerb("enable", "Enable a service account.", {"enabled": True}),
        RequestVerb("disable", "Disable a service account, and end its leases.", {"enabled": False}),
    ),
    columns=columns(
        "name enabled",
        Column("Groups", lambda account: [group["name"] for group in account["groups"]]),
        "contact networks num_keys num_sessions expires last_used",
        wide="description",
    ),
)

_NOUNS: Final = (
    Noun(
        "zones",
        "zone",
        name_field="zone_name",
        columns=columns(
            "zone_name allow_origin_domain upstream_auth_address load_balancing_strategy search_alternate_zones",
            "num_managers num_agents num_sessions",
        ),
    ),
    Noun(
        "managers",
        "Manager",
        name_field="instance_id",
        server_accepts_name=True,
        excluded=frozenset({"update"}),
        actions=(
            RequestVerb("enable", "Enable a Manager.", {"enabled": True}),
            RequestVerb("disable", "Take a Manager out of service without stopping it.", {"enabled": False}),
        ),
        columns=columns("instance_id enabled first_reported last_reported zone_name", _STATUS, "is_primary"),
    ),
    Noun(
        "agents",
        "Agent",
        name_field="hostname",
        server_accepts_name=True,
        actions=(
            RequestVerb("enable", "Allow new sessions on an Agent.", {"enabled": True, "draining": False}),
            RequestVerb("disable", "Allow no new sessions on an Agent; its sessions continue.", {"enabled": False}),
            RequestVerb(
                "drain",
                "Allow no new sessions on an Agent, and replace its staged sessions on other Agents.",
                {"draining": True},
            ),
        ),
        columns=columns(
            "hostname",
            Column("Enabled", lambda agent: "draining" if agent["enabled"] and agent["draining"] else agent["enabled"]),
            _STATUS,
            "zone_name manager_instance_id sessions",
            Column("Cores reserved", lambda agent: f"{agent['cores_allocated']:g} of {agent['cores']:g}"),
            Column("Memory reserved", lambda agent: f"{size(agent['memory_allocated'])} of {size(agent['memory'])}"),
            "last_reported",
            wide="agent_id",
        ),
    ),
    Noun(
        "join-tokens",
        "join token",
        columns=columns(
            "join_token_id role zone_name status agent_hostname",
            Column("Joined", "used"),
            "uses_left expires created_by",
        ),
    ),
    Noun(
        "gateways",
        "gateway",
        name_field="hostname",
        columns=columns("hostname gateway_id zone_name registered last_reported"),
    ),
    Noun(
        "machine-pools",
        "machine pool",
        name_field="name",
        server_accepts_name=True,
        actions=(
            RequestVerb("enable", "Order and release machines automatically.", {"enabled": True}),
            RequestVerb("disable", "Order no more machines; release machines without sessions.", {"enabled": False}),
            RequestVerb(
                "approve",
                "Approve a machine pool: the Agents of machines ordered from now on are enabled when they join.",
                {"approved": True},
            ),
        ),
        columns=columns(
            "name zone_name enabled provider joined coming draining max_machines last_error",
            wide="approved_by releasing",
        ),
    ),
    Noun(
        "machine-orders",
        "machine order",
        columns=columns("ordered pool_name state hostname sessions ref reason changed state_reason"),
    ),
    Noun(
        "images",
        "workspace",
        name_field="friendly_name",
        actions=(RequestVerb("refresh", method="POST", path="/refresh"),),
        columns=columns(
            "friendly_name enabled",
            Column("Container image", "name"),
            "available cores memory categories",
            Column("Zone", lambda image: image["zone_name"] or "any"),
        ),
    ),
    Noun(
        "homes",
        "home folder",
        excluded=frozenset({"delete"}),
        columns=columns(
            "home_id",
            Column("User", lambda home: home["username"] or "(deleted)"),
            Column("Workspace", lambda home: home["image_friendly_name"] or "(deleted)"),
            Column("Host", "hostname"),
            Column("Size", lambda home: None if home["size_bytes"] is None else size(home["size_bytes"])),
            "last_used state remark",
        ),
    ),
    Noun(
        "staging",
        "staging config",
        list_path="/staging-configs",
        excluded=frozenset({"zone_id", "image_id"}),
        actions=(
            RequestVerb("pause", "Pause a config: no session of its pool is staged or assigned.", {"paused": True}),
            RequestVerb("resume", "Resume a config: fill its pool again.", {"paused": False}),
            RequestVerb("recycle", method="POST", path="/recycle"),
        ),
        columns=columns(
            "staging_config_id",
            Column("Deployment Zone", "zone_name"),
            Column("Image", "image_friendly_name"),
            Column("Desired Sessions", "num_sessions"),
            Column("Current Sessions", _session_counts),
            Column("Shortfall", _shortfall_text, folds=True),
            Column("Permissions", _permission_text, wide=True),
            wide="expiration hits_24h misses_24h",
        ),
    ),
    Noun("catalogues", "catalogue", name_field="name", columns=columns("name list_url entries looked error")),
    Noun(
        "filter-policies",
        "web filter policy",
        irregular_plural="web filter policies",
        name_field="name",
        columns=columns(
            "name default_action",
            Column("Allowed", lambda policy: len(policy["allow"])),
            Column("Denied", lambda policy: len(policy["deny"])),
            "num_images num_groups num_sessions description",
        ),
    ),
    Noun(
        "sessions",
        "session",
        excluded=frozenset({"create", "delete"}),
        columns=columns(
            "session_id",
            Column("User", _user_of_session),
            "image_friendly_name status zone_name",
            Column("Agent", "hostname"),
            "created",
            Column("Quarantine", "set_aside_reason", wide=True),
            Column("Origin", lambda session: "staged" if session["staging_config_id"] else "on demand", wide=True),
            wide="expires",
        ),
    ),
    Noun(
        "session-videos",
        "session video",
        columns=columns(
            "session_id username image_friendly_name zone_name begun",
            Column("State", _state_of_video),
            "segments",
            Column("Size", "size_bytes"),
        ),
    ),
    Noun(
        "launches",
        "launch",
        irregular_plural="launches",
        nested_tables=(("steps", STEP_COLUMNS),),
        columns=columns(
            "at launch_id username image_friendly_name outcome",
            Column("Reason", "reason", folds=True),
            wide="session_id",
        ),
    ),
    Noun(
        "users",
        "user",
        name_field="username",
        also=_SERVICE_ACCOUNTS,
        search_parameter="q",
        actions=(
            RequestVerb("enable", "Enable a disabled user.", {"disabled": False}),
            RequestVerb("disable", "Disable a user, and end their log-ins, streams and API keys.", {"disabled": True}),
            RequestVerb("lock", "Lock a user, and end their log-ins, streams and API keys.", {"locked": True}),
            RequestVerb("unlock", "Unlock a user.", {"locked": False}),
            RequestVerb("attributes", method="GET", path="/attributes"),
            RequestVerb("set-attributes", path="/attributes"),
            RequestVerb("ssh-key", method="POST", path="/ssh-key"),
            RequestVerb(
                "logins",
                method="GET",
                path="/logins",
                columns=columns("login_id client_ip user_agent", Column("Since", "created"), "last_used expires"),
                empty_text="The user is not logged in.",
            ),
            RequestVerb(
                "settings",
                method="GET",
                path="/settings",
                columns=columns(Column("Setting", "name"), "value unit default excludes_staging trace"),
            ),
        ),
        columns=columns(
            Column("Username", "username"),
            Column("Name", lambda user: f"{user['first_name']} {user['last_name']}".strip()),
            Column("Groups", lambda user: [group["name"] for group in user["groups"]]),
            Column(
                "Status", lambda user: ", ".join(name for name in ("disabled", "locked") if user[name]) or "enabled"
            ),
            "num_sessions last_session created",
        ),
    ),
    Noun(
        "groups",
        "group",
        name_field="name",
        excluded=frozenset({"roles"}),
        columns=columns(
            "name priority num_users",
            Column("Workspaces", lambda group: len(group["images"])),
            Column("Settings", lambda group: len(group["settings"])),
            "permissions",
            Column("Roles", lambda group: [each["role"] for each in group["roles"]]),
            "description",
        ),
        nested_tables=(("roles", columns("role zones groups")),),
    ),
    Noun(
        "sign-on-providers",
        "sign-on provider",
        name_field="name",
        columns=columns("name title issuer enabled create_users num_logins"),
    ),
    Noun(
        "directories",
        "directory",
        name_field="name",
        actions=(
            RequestVerb("sync", method="POST", path="/sync"),
            RequestVerb("preview-sync", method="POST", path="/sync/preview"),
        ),
        columns=columns("name title servers enabled create_users num_users synchronized"),
    ),
    Noun(
        "scim-clients",
        "SCIM client",
        name_field="name",
        actions=(
            RequestVerb("enable", "Enable a SCIM client.", {"enabled": True}),
            RequestVerb("disable", "Refuse the token of a SCIM client; its users remain.", {"enabled": False}),
            RequestVerb("rotate", method="POST", path="/token"),
        ),
        columns=columns("name enabled num_users num_groups last_used expires base_url"),
    ),
    _SERVICE_ACCOUNTS,
    Noun(
        "keys",
        "API key",
        list_path="/api-keys",
        name_field="name",
        excluded=frozenset({"end_leases"}),
        actions=(
            RequestVerb("enable", "Enable an API key.", {"enabled": True}),
            RequestVerb("disable", "Disable an API key without deleting it.", {"enabled": False}),
            RequestVerb("rotate", method="POST", path="/rotate"),
        ),
        columns=columns(
            "name",
            Column("API Key", "key_id"),
            Column("Status", lambda key: "enabled" if key["enabled"] else "disabled"),
            "read_only permissions created expires last_used",
        ),
    ),
    Noun(
        "webhooks",
        "webhook",
        name_field="name",
        actions=(
            RequestVerb("enable", "Enable a webhook, and send its waiting events.", {"enabled": True}),
            RequestVerb("disable", "Disable a webhook without deleting it.", {"enabled": False}),
            RequestVerb("test", method="POST", path="/test"),
            RequestVerb("renew-secret", method="POST", path="/secret"),
        ),
        columns=columns("name url enabled events waiting last_delivered"),
    ),
    Noun(
        "secrets",
        "secret",
        name_field="name",
        columns=columns("name hosts header template owner num_leases value_changed description"),
    ),
)
NOUNS: Final = {noun.noun: noun for noun in _NOUNS}

REFERENCES: Final = {
    NOUNS[noun].id_field: noun
    for noun in (
        "zones",
        "images",
        "users",
        "agents",
        "filter-policies",
        "sessions",
        "staging",
        "groups",
        "sign-on-providers",
    )
} | {"default_image": "images", "server_id": "agents", "groups": "groups", "users": "users", "zones": "zones"}
"""Field with the id of an object of another noun → this noun. The option of such a field also accepts a name."""
