"""Return a shared instance to its state before a test file, and check that nothing remains.

Members that were added to a collection of the API are deleted. Then the rows of each table, the containers and the
files of the instance are compared with those before the test file.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.acceptance.instance import Instance

HISTORY: Final = {
    *("agent_capacity", "agent_images", "anonymous_users", "former_usernames", "image_pictures", "join_tokens"),
    *("audit_deliveries", "audit_events", "audit_head", "audit_operations", "audit_seals"),
    *(
        "launches",
        "lease_controls",
        "leases",
        "login_failures",
        "login_links",
        "login_sessions",
        "logs",
        "machine_orders",
    ),
    *("factor_challenges", "pending_logins", "recovery_codes", "second_factors"),
    *("manager_requests", "recording_pictures", "recording_rows", "recordings", "saml_assertions", "session_commands"),
    *("series_done", "series_launches", "series_pools", "series_zones"),
    *("session_observed", "session_video_segments", "session_videos"),
    *("session_shares", "session_steps", "session_viewers", "staging_hours", "user_attributes", "webhook_deliveries"),
}
"""Tables whose rows the product keeps after the object is deleted, or that processes report again and again."""
COUNTED_ROWS: Final = {
    "filter_policies": "NOT of_leases",
    "sessions": "status <> 'deleted'",
    "staging_configs": "deleted IS NULL",
}
"""The condition of the relevant rows, in tables that keep rows of deleted objects or of policies for leases."""
COMPARED_BY_CONTENT: Final = ("settings", "group_settings", "user_groups", "group_images")
CHANGING_FOLDERS: Final = ("gateway", "logs", "postgres", "run", "runtime", "tmp")
"""Folders below DATA without files of sessions or users."""
AGENT_FILES: Final = ("viewable.json", "viewers.json", "settings.json")
"""Files that an Agent, or the host of a simulated one, creates at some time and replaces from then on."""
LISTING: Final = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


@dataclass(frozen=True)
class State:
    """The state of an instance: `rows` of each table, as a number or as texts; containers and networks; paths below
    DATA."""

    rows: dict[str, Any]
    docker: set[str]
    files: set[str]


@contextmanager
def unchanged(instance: Instance, within_s: float = 60) -> Iterator[None]:
    """Reset the instance at the end of the block.

    Raises:
        AssertionError: something remains after `within_s`; the message lists everything.
    """
    before, members = state_of(instance), members_of(instance)
    yield
    end = time.monotonic() + within_s
    while True:
        delete_added(instance, members)
        left = differences(before, state_of(instance))
        if not left:
            return
        assert time.monotonic() < end, "The reset of the instance left: " + "; ".join(left)
        time.sleep(0.2)


def differences(before: State, after: State) -> list[str]:
    """A sentence for each table, container or file that differs."""
    found = [
        f"{table} has {after.rows[table]} rows, had {number}"
        for table, number in before.rows.items()
        if after.rows[table] != number
    ]
    found += [f"the container or network {name}" for name in sorted(after.docker - before.docker)]
    return found + [f"the file {name}" for name in sorted(after.files - before.files)]


def state_of(instance: Instance) -> State:
    """The state that is compared."""
    tables = {row["relname"] for row in instance.sql(LISTING)} - HISTORY
    rows = dict[str, Any]()
    for table in tables - {*COMPARED_BY_CONTENT}:
        condition = COUNTED_ROWS.get(table, "true")
        rows[table] = instance.sql(f"SELECT count(*) AS n FROM {table} WHERE {condition}")[0]["n"]
    for table in COMPARED_BY_CONTENT:
        rows[table] = sorted(row["text"] for row in instance.sql(f"SELECT t::text AS text FROM {table} t"))
    label = ["--filter", f"label={instance.label()}"]
    docker = [["docker", "ps", "--all", *label, "--format", "{{.Names}}"]]
    docker += [["docker", kind, "ls", *label, "--format", "{{.Name}}"] for kind in ("network", "volume")]
    names = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for command in docker]
    files = {
        str(file.relative_to(instance.data))
        for folder in instance.data.iterdir()
        if folder.is_dir() and folder.name not in CHANGING_FOLDERS
        for file in folder.rglob("*")
        if file.is_file() and file.name not in AGENT_FILES
    }
    return State(rows, {name for found in names for name in found}, files)


def members_of(instance: Instance) -> dict[str, set[str]]:
    """Ids of the members of each collection of the API that can be listed and of which one can be deleted.

    The key is the path of a member, for example `/users/{user_id}`.
    """
    paths = instance.call("GET", "/openapi.json")["paths"]
    found = dict[str, set[str]]()
    for path, operations in paths.items():
        collection, _, member = path.removeprefix("/api/v1").rpartition("/")
        is_collection = collection.count("/") == 1 and "get" in paths.get(f"/api/v1{collection}", ())
        if is_collection and "delete" in operations and member.startswith("{"):
            found[f"{collection}/{member}"] = {item[member.strip("{}")] for item in instance.call("GET", collection)}
    return found


def delete_added(instance: Instance, before: Mapping[str, Set[str]]) -> None:
    """Request the deletion of all members that did not exist before; some are refused while others use them."""
    with instance.http() as http:
        for path, members in members_of(instance).items():
            for member in members - before[path]:
                http.delete(f"/api/v1{path.rpartition('/')[0]}/{member}")
        for row in instance.sql("SELECT name FROM settings"):
            http.patch("/api/v1/settings", json={row["name"]: None})
