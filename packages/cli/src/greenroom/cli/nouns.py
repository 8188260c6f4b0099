"""The nouns of the command line: their paths in `/api/v1`, their names, the columns of a list and the fields that can
be set.

`greenroom.cli.verbs` creates the verbs from this table. `greenroom.cli.fields` creates the options of `create` and
`update` from the bodies of the api, so that no field can be missing here.
"""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from greenroom.cli.fleet_nouns import FLEET_NOUNS
from greenroom.cli.noun import ChangeVerb, Field, Noun
from greenroom.cli.output import Column, Row, columns
from greenroom.core.text import size
from greenroom.shared.states import SessionStatus


def _pool(config: Row) -> str:
    starting = config["num_starting_sessions"]
    return f"{config['num_current_sessions']}" + (f" (+{starting})" if starting else "")


def _shortfall(config: Row) -> str | None:
    paused = "Paused." if config["paused"] else None
    reason = config["shortfall"] and config["shortfall"]["reason"]
    return " ".join(filter(None, [paused, reason, config["warning"]])) or None


def _access(user: Row) -> str:
    barred = [name for name in ("disabled", "locked") if user[name]]
    return ", ".join(barred) or "enabled"


def _permissions(config: Row) -> str:
    from greenroom.core.access.group_settings import STAGED_PERMISSIONS  # noqa: PLC0415 -- only this needs the settings

    denied = [name.removeprefix("allow_kasm_").replace("_", " ") for name in STAGED_PERMISSIONS if not config[name]]
    return f"all but {', '.join(denied)}" if denied else "all"


def _user_of_session(session: Row) -> str:
    """Return the user, or a note that the session waits in a pool for a user."""
    waits = session["staging_config_id"] and not session["user_id"]
    return session["username"] or ("(staged)" if waits else "-")


STEPS: Final = columns("order step zone_name used code setting reason")

NOUNS: Final[dict[str, Noun]] = {
    noun.noun: noun
    for noun in (
        *FLEET_NOUNS,
        Noun(
            noun="images",
            path="/images",
            singular="workspace",
            plural="workspaces",
            key="image_id",
            name="friendly_name",
            called="friendly name",
            create="greenroom.api.workspace.schemas:ImageCreate",
            update="greenroom.api.workspace.schemas:ImagePatch",
            columns=columns(
                "friendly_name enabled",
                Column("Container image", "name"),
                "available cores memory categories",
                Column("Zone", lambda image: image["zone_name"] or "any"),
            ),
        ),
        Noun(
            noun="homes",
            path="/homes",
            singular="home folder",
            plural="home folders",
            key="home_id",
            filters=(
                Field("q", str, "only rows that contain all these words; `host:one` searches one column"),
                Field("user_id", UUID),
                Field("image_id", UUID),
                Field("agent_id", UUID),
            ),
            delete=False,
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
            noun="staging",
            path="/staging-configs",
            singular="staging config",
            plural="staging configs",
            key="staging_config_id",
            create="greenroom.api.pool.schemas:StagingCreate",
            update="greenroom.api.pool.schemas:StagingPatch",
            without=frozenset({"zone_id", "image_id"}),
            changes=(
                ChangeVerb(
                    "pause",
                    {"paused": True},
                    "Pause a config: assign none of its sessions, and stage no more sessions.",
                ),
                ChangeVerb("resume", {"paused": False}, "Resume a config: fill its pool again."),
            ),
            columns=columns(
                "staging_config_id",
                Column("Deployment Zone", "zone_name"),
                Column("Image", "image_friendly_name"),
                Column("Desired Sessions", "num_sessions"),
                Column("Current Sessions", _pool),
                Column("Shortfall", _shortfall),
                Column("Permissions", _permissions, wide=True),
                wide="expiration hits_24h misses_24h",
            ),
        ),
        Noun(
            noun="catalogues",
            path="/catalogues",
            singular="catalogue",
            plural="catalogues",
            key="catalogue_id",
            name="name",
            create="greenroom.api.catalogue.schemas:CatalogueCreate",
            columns=columns("name list_url entries looked error"),
        ),
        Noun(
            noun="filter-policies",
            path="/filter-policies",
            singular="web filter policy",
            plural="web filter policies",
            key="filter_policy_id",
            name="name",
            create="greenroom.api.workspace.schemas:FilterPolicyCreate",
            update="greenroom.api.workspace.schemas:FilterPolicyPatch",
            columns=columns(
                "name default_action",
                Column("Allowed", lambda policy: len(policy["allow"])),
                Column("Denied", lambda policy: len(policy["deny"])),
                "num_images num_groups num_sessions description",
            ),
        ),
        Noun(
            noun="sessions",
            path="/sessions",
            singular="session",
            plural="sessions",
            key="session_id",
            filters=(
                Field("q", str, "only rows that contain all these words; `zone:eu` searches one column"),
                Field("user_id", UUID),
                Field("image_id", UUID),
                Field("staging_config_id", UUID),
                Field("agent_id", UUID),
                Field("status", SessionStatus, "in this status"),
                Field("staged", bool, "without a user; --no-staged: with a user"),
                Field("ended", bool, "include sessions that ended in the last days"),
                Field("set_aside", bool, "only sessions in quarantine after a failed hand-over"),
            ),
            delete=False,
            columns=columns(
                "session_id",
                Column("User", _user_of_session),
                "image_friendly_name status zone_name",
                Column("Agent", "hostname"),
                "created",
                Column("Origin", lambda session: "staged" if session["staging_config_id"] else "on demand", wide=True),
                wide="expires",
            ),
        ),
        Noun(
            noun="launches",
            path="/launches",
            singular="launch",
            plural="launches",
            key="launch_id",
            filters=(
                Field("q", str, "only rows that contain all these words"),
                Field("outcome", Literal["staged", "on_demand", "failed"], "with this outcome"),
                Field("user_id", UUID),
                Field("image_id", UUID),
            ),
            delete=False,
            parts=(("steps", STEPS),),
            columns=columns(
                "at launch_id username image_friendly_name outcome reason",
                wide="session_id",
            ),
        ),
        Noun(
            noun="users",
            path="/users",
            singular="user",
            plural="users",
            key="user_id",
            name="username",
            search="q",
            filters=(Field("q", str, "part of a name"), Field("group_id", UUID)),
            create="greenroom.api.access.schemas:UserCreate",
            update="greenroom.api.access.schemas:UserPatch",
            force="Also destroy the sessions of the user.",
            changes=(
                ChangeVerb("enable", {"disabled": False}, "Enable a disabled user."),
                ChangeVerb(
                    "disable", {"disabled": True}, "Disable a user, and end their log-ins, streams and API keys."
                ),
                ChangeVerb("lock", {"locked": True}, "Lock a user, and end their log-ins and streams."),
                ChangeVerb("unlock", {"locked": False}, "Unlock a user."),
            ),
            columns=columns(
                Column("Username", "username"),
                Column("Name", lambda user: f"{user['first_name']} {user['last_name']}".strip()),
                Column("Groups", lambda user: [group["name"] for group in user["groups"]]),
                Column("Status", _access),
                "num_sessions last_session created",
            ),
        ),
        Noun(
            noun="groups",
            path="/groups",
            singular="group",
            plural="groups",
            key="group_id",
            name="name",
            create="greenroom.api.access.schemas:GroupCreate",
            update="greenroom.api.access.schemas:GroupPatch",
            columns=columns(
                "name priority num_users",
                Column("Workspaces", lambda group: len(group["images"])),
                Column("Settings", lambda group: len(group["settings"])),
                "permissions description",
            ),
        ),
        Noun(
            noun="keys",
            path="/api-keys",
            singular="API key",
            plural="API keys",
            key="key_id",
            name="name",
            create="greenroom.api.access.schemas:KeyCreate",
            update="greenroom.api.access.schemas:KeyPatch",
            changes=(
                ChangeVerb("enable", {"enabled": True}, "Enable an API key."),
                ChangeVerb("disable", {"enabled": False}, "Disable an API key without deleting it."),
            ),
            columns=columns(
                "name",
                Column("API Key", "key_id"),
                Column("Status", lambda key: "enabled" if key["enabled"] else "disabled"),
                "read_only permissions created expires last_used",
            ),
        ),
        Noun(
            noun="webhooks",
            path="/webhooks",
            singular="webhook",
            plural="webhooks",
            key="webhook_id",
            name="name",
            create="greenroom.api.webhooks.schemas:WebhookCreate",
            update="greenroom.api.webhooks.schemas:WebhookPatch",
            changes=(
                ChangeVerb("enable", {"enabled": True}, "Enable a webhook, and send its waiting events."),
                ChangeVerb("disable", {"enabled": False}, "Disable a webhook without deleting it."),
            ),
            columns=columns("name url enabled events waiting last_delivered"),
        ),
        Noun(
            noun="secrets",
            path="/secrets",
            singular="secret",
            plural="secrets",
            key="secret_id",
            name="name",
            create="greenroom.api.secret.schemas:SecretCreate",
            update="greenroom.api.secret.schemas:SecretPatch",
            columns=columns("name hosts header template owner num_leases value_changed description"),
        ),
    )
}

REFERENCES: Final = {
    "zone_id": "zones",
    "image_id": "images",
    "default_image": "images",
    "user_id": "users",
    "agent_id": "agents",
    "server_id": "agents",
    "filter_policy_id": "filter-policies",
    "session_id": "sessions",
    "staging_config_id": "staging",
    "group_id": "groups",
    "groups": "groups",
    "users": "users",
}
"""Field with the id of another noun → that noun. Its option also takes a name."""
