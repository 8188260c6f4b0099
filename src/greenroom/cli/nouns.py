"""The nouns of the command line: their place in `/api/v1`, their name, the columns of a list and what can be set.

`greenroom.cli.verbs` makes the verbs from this table and `greenroom.cli.fields` the options of `create` and `update`
from the api's own bodies, so that no field can be missing here.
"""

from __future__ import annotations

from typing import Final

from greenroom.api.access import schemas as access_schemas
from greenroom.api.catalogue import schemas as catalogue_schemas
from greenroom.api.pool import schemas as pool_schemas
from greenroom.api.secret import schemas as secret_schemas
from greenroom.api.webhooks import schemas as webhook_schemas
from greenroom.api.workspace import schemas as workspace_schemas
from greenroom.cli.client import Row
from greenroom.cli.filters import HomeFilter, LaunchFilter, SessionFilter, UserFilter
from greenroom.cli.fleet_nouns import FLEET_NOUNS
from greenroom.cli.noun import Change, Noun
from greenroom.cli.output import Column, columns
from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.sizes import size


def _pool(config: Row) -> str:
    starting = config["num_starting_sessions"]
    return f"{config['num_current_sessions']}" + (f" (+{starting} starting)" if starting else "")


def _shortfall(config: Row) -> str | None:
    return " ".join(filter(None, [config["shortfall"] and config["shortfall"]["reason"], config["warning"]])) or None


def _access(user: Row) -> str:
    barred = [name for name in ("disabled", "locked") if user[name]]
    return ", ".join(barred) or "enabled"


def _permissions(config: Row) -> str:
    denied = [name.removeprefix("allow_kasm_").replace("_", " ") for name in STAGED_PERMISSIONS if not config[name]]
    return f"all but {', '.join(denied)}" if denied else "all"


STEPS: Final = columns("order step zone_name used code setting reason")

NOUNS: Final[dict[str, Noun]] = {
    noun.noun: noun
    for noun in (
        *FLEET_NOUNS,
        Noun(
            noun="images",
            path="/images",
            what="workspace",
            many="workspaces",
            help="Workspaces: the images people can launch.",
            key="image_id",
            name="friendly_name",
            called="friendly name",
            create=workspace_schemas.ImageCreate,
            update=workspace_schemas.ImagePatch,
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
            what="home folder",
            many="home folders",
            help="Home folders that are kept for users, with size and last use.",
            key="home_id",
            filters=HomeFilter,
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
            what="staging config",
            many="staging configs",
            help="Staging configs: pools of sessions that run before any user asks for them.",
            key="staging_config_id",
            create=pool_schemas.StagingCreate,
            update=pool_schemas.StagingPatch,
            without=frozenset({"zone_id", "image_id"}),
            changes=(
                Change("pause", {"paused": True}, "Assign no session of a config, and stage no more of them."),
                Change("resume", {"paused": False}, "Fill the pool of a config again."),
            ),
            columns=columns(
                "staging_config_id",
                Column("Deployment Zone", "zone_name"),
                Column("Image", "image_friendly_name"),
                Column("Desired Sessions", "num_sessions"),
                Column("Current Sessions", _pool),
                "expiration",
                Column("Permissions", _permissions),
                "paused hits_24h misses_24h",
                Column("Shortfall", _shortfall),
            ),
        ),
        Noun(
            noun="catalogues",
            path="/catalogues",
            what="catalogue",
            many="catalogues",
            help="Catalogues of other registries, whose entries stand beside Greenroom's own.",
            key="catalogue_id",
            name="name",
            create=catalogue_schemas.CatalogueCreate,
            columns=columns("name list_url entries looked error"),
        ),
        Noun(
            noun="filter-policies",
            path="/filter-policies",
            what="web filter policy",
            many="web filter policies",
            help="Web filter policies: which sites sessions may open.",
            key="filter_policy_id",
            name="name",
            create=workspace_schemas.FilterPolicyCreate,
            update=workspace_schemas.FilterPolicyPatch,
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
            what="session",
            many="sessions",
            help="Sessions of users, and staged ones that wait for a user.",
            key="session_id",
            filters=SessionFilter,
            delete=False,
            columns=columns(
                "session_id",
                Column("User", lambda session: session["username"] or ("-" if session["user_id"] else "(staged)")),
                "image_friendly_name status",
                Column("Origin", lambda session: "staged" if session["staging_config_id"] else "on demand"),
                "zone_name",
                Column("Agent", "hostname"),
                "created expires",
            ),
        ),
        Noun(
            noun="launches",
            path="/launches",
            what="launch",
            many="launches",
            help="The ledger of launches: how each came about, and why some gave nothing.",
            key="launch_id",
            filters=LaunchFilter,
            delete=False,
            parts=(("steps", STEPS),),
            columns=columns(
                "at launch_id username image_friendly_name outcome session_id reason",
            ),
        ),
        Noun(
            noun="users",
            path="/users",
            what="user",
            many="users",
            help="People who log in.",
            key="user_id",
            name="username",
            search="q",
            filters=UserFilter,
            create=access_schemas.UserCreate,
            update=access_schemas.UserPatch,
            force="Destroy the user's sessions, too.",
            changes=(
                Change("enable", {"disabled": False}, "Let a user log in again."),
                Change("disable", {"disabled": True}, "Keep a user out: their log-ins, streams and API keys end."),
                Change("lock", {"locked": True}, "Keep a user out for now: their log-ins and streams end."),
                Change("unlock", {"locked": False}, "End the locking of a user."),
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
            what="group",
            many="groups",
            help="Groups: members, permissions and the settings of their sessions.",
            key="group_id",
            name="name",
            create=access_schemas.GroupCreate,
            update=access_schemas.GroupPatch,
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
            what="API key",
            many="API keys",
            help="API keys for programs.",
            key="key_id",
            name="name",
            create=access_schemas.KeyCreate,
            update=access_schemas.KeyPatch,
            changes=(
                Change("enable", {"enabled": True}, "Let an API key be used again."),
                Change("disable", {"enabled": False}, "Let an API key be used no more, without deleting it."),
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
            what="webhook",
            many="webhooks",
            help="Webhooks: addresses to which messages of sessions, pools, launches and leases are sent.",
            key="webhook_id",
            name="name",
            create=webhook_schemas.WebhookCreate,
            update=webhook_schemas.WebhookPatch,
            changes=(
                Change("enable", {"enabled": True}, "Send a webhook events again, and those that wait for it."),
                Change("disable", {"enabled": False}, "Send a webhook nothing any more, without deleting it."),
            ),
            columns=columns("name url enabled events waiting last_delivered"),
        ),
        Noun(
            noun="secrets",
            path="/secrets",
            what="secret",
            many="secrets",
            help="Secrets that web filters add to requests of leased sessions, which never have them.",
            key="secret_id",
            name="name",
            create=secret_schemas.SecretCreate,
            update=secret_schemas.SecretPatch,
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
"""Field with the id of another noun → that noun; its option also takes a name."""
