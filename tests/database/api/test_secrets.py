"""Secrets: their owners, the leases that use them, and their transfer to the Agent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.database.api.client import KEY, Client, MakeClient
from tests.database.api.staging import Stage
from tests.support import rows

from greenroom.client import AsyncGreenroom
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.fleet.checkin import DesiredSession, read_desired
from greenroom.kit.secrets import Secrets

SECRETS = "/api/v1/secrets"
LEASES = "/api/v1/leases"
VALUE = "ghp_s3cret"
GITHUB = {"name": "github", "hosts": ["api.example.com"], "value": VALUE}


@pytest.fixture
async def workspace(stage: Stage) -> str:
    return (await stage.admin.only("/api/v1/images"))["friendly_name"]


def lease_body(workspace: str, *names: str, egress: Any = None) -> dict[str, Any]:
    reach = {"allow": ["example.com"]} if egress is None else egress
    return {"workspace": workspace, "seconds": 600, "options": {"egress": reach, "secrets": list(names)}}


async def desired(db: Database, lease: dict[str, Any]) -> DesiredSession:
    """The session as its Agent receives it."""
    (row,) = await db.fetch("SELECT agent_id::text FROM sessions WHERE session_id = %s", (lease["session_id"],))
    (session,) = await read_desired(db, row["agent_id"], [lease["session_id"]])
    return session


async def test_users_keep_secrets_of_their_own_and_see_no_others(ada: Client, admin: Client, with_key: MakeClient):
    own = await ada.make(SECRETS, **GITHUB)
    assert own["owner"] == "ada@example.org"
    theirs = await admin.make(SECRETS, **GITHUB | {"name": "other"})
    assert [one["name"] for one in await ada.read(SECRETS)] == ["github"]
    for what in ("GET", "PATCH", "DELETE"):
        assert (await ada.refused(404, f"{what} {SECRETS}/{theirs['secret_id']}", {})).startswith("not-found: ")
    assert [one["name"] for one in await (await with_key("secrets_view")).read(SECRETS)] == ["github", "other"]
    assert (await ada.delete(f"{SECRETS}/{own['secret_id']}")).status_code == 204


async def test_names_are_unique_for_each_owner(ada: Client, user: Client, stage: Stage, workspace: str):
    own = await ada.make(SECRETS, **GITHUB)
    await user.make(SECRETS, **GITHUB)
    assert (await ada.refused(409, f"POST {SECRETS}", GITHUB)).startswith("duplicate: You already have a secret")
    theirs = await stage.admin.make(SECRETS, **GITHUB)
    await stage.admin.change(f"{SECRETS}/{theirs['secret_id']}", groups=[str(ALL_USERS)])
    lease = await ada.make(LEASES, **lease_body(workspace, "github"))
    given = await stage.db.fetch("SELECT secret_id::text FROM filter_policy_secrets")
    assert [row["secret_id"] for row in given] == [own["secret_id"]]
    assert lease["secrets"] == ["github"]


async def test_of_several_secrets_of_others_with_one_name_none_is_chosen(
    ada: Client, user: Client, stage: Stage, workspace: str
):
    for owner in (user, stage.admin):
        made = await owner.make(SECRETS, **GITHUB)
        await stage.admin.change(f"{SECRETS}/{made['secret_id']}", groups=[str(ALL_USERS)])
    refusal = await ada.refused(422, f"POST {LEASES}", lease_body(workspace, "github"))
    assert "You may use several secrets with the name github" in refusal


async def test_only_with_a_permission_others_may_use_a_secret(ada: Client):
    shared = {**GITHUB, "groups": [str(ALL_USERS)]}
    refusal = await ada.refused(403, f"POST {SECRETS}", shared)
    assert "Access of others to a secret needs the permission secrets_create." in refusal
    made = await ada.make(SECRETS, **GITHUB)
    await ada.refused(403, f"PATCH {SECRETS}/{made['secret_id']}", {"groups": shared["groups"]})


@pytest.mark.parametrize("moved", [{"hosts": ["a.example.org"]}, {"header": "X-Debug"}, {"template": "{secret}"}])
async def test_a_stored_value_is_not_sent_elsewhere(ada: Client, moved: dict[str, Any]):
    made = await ada.make(SECRETS, **GITHUB)
    path = f"{SECRETS}/{made['secret_id']}"
    assert await ada.refused(422, f"PATCH {path}", moved) == (
        "invalid: The stored value of github is not sent to another host. Set `value` again to change "
        f"{next(iter(moved))}."
    )
    unchanged = {name: made[name] for name in moved}
    assert await ada.change(path, description="its own", **unchanged) == made | {"description": "its own"}
    assert (await ada.change(path, value=VALUE, **moved)).items() >= moved.items()


async def test_an_api_key_changes_no_secret_of_its_owner_without_a_permission(
    stage: Stage, ada: Client, with_key_of: MakeClient
):
    path = f"{SECRETS}/{(await ada.make(SECRETS, **GITHUB))['secret_id']}"
    key = await with_key_of(ada, "user")
    assert "needs the permission secrets_modify" in await key.refused(403, f"PATCH {path}", {"value": "other"})
    assert "needs the permission secrets_delete" in await key.refused(403, f"DELETE {path}")
    assert (await key.read(path))["name"] == "github"
    await stage.admin.change(path, value="other")
    (row,) = await stage.db.fetch("SELECT level FROM logs WHERE code = 'secret-changed'")
    assert row["level"] == "WARNING"
    assert (await stage.admin.delete(path)).status_code == 204


async def test_a_value_is_encrypted_and_in_no_answer_and_no_log_row(ada: Client, db: Database):
    made = await ada.make(SECRETS, **GITHUB)
    await ada.change(f"{SECRETS}/{made['secret_id']}", value=VALUE + "2")
    (row,) = await db.fetch("SELECT value_encrypted FROM secrets")
    assert Secrets(bytes(32)).decrypt(row["value_encrypted"]) == VALUE + "2"
    logged = await db.fetch("SELECT message, details::text FROM logs WHERE code LIKE 'secret%%' ORDER BY time")
    assert logged[-1]["message"] == "ada@example.org changed secret github: contents as before → changed"
    assert VALUE not in str(logged) + str(await ada.read(SECRETS))


async def test_the_filter_of_a_lease_has_its_secrets_and_no_other_lease_has_that_filter(
    ada: Client, db: Database, workspace: str
):
    await ada.make(SECRETS, **GITHUB)
    leases = [await ada.make(LEASES, **lease_body(workspace, "github")) for _ in range(2)]
    sessions = [await desired(db, lease) for lease in leases]
    policies = {(session.spec or {})["filter_policy"] for session in sessions}
    assert len(policies) == 2
    (secret,) = sessions[0].secrets
    assert (secret.name, secret.hosts, secret.header, secret.template) == (
        "github",
        ("api.example.com",),
        "Authorization",
        "Bearer {secret}",
    )
    assert Secrets(bytes(32)).decrypt(secret.value_encrypted.encode()) == VALUE
    assert VALUE not in str(sessions[0])
    assert (await ada.only(SECRETS))["num_leases"] == 2
    logged = await db.fetch("SELECT message FROM logs WHERE code = 'secrets-granted'")
    assert logged[0]["message"].startswith("ada@example.org has a lease with the secrets github: session ")
    plain = await ada.make(LEASES, workspace=workspace, seconds=600)
    assert (await desired(db, plain)).secrets == []


async def test_the_agent_is_notified_of_a_changed_and_of_a_deleted_secret(ada: Client, db: Database, workspace: str):
    secret_id = (await ada.make(SECRETS, **GITHUB))["secret_id"]
    lease = await ada.make(LEASES, **lease_body(workspace, "github"))
    before = await desired(db, lease)
    await ada.change(f"{SECRETS}/{secret_id}", description="no part of it")
    assert (await desired(db, lease)).generation == before.generation
    await ada.change(f"{SECRETS}/{secret_id}", value="new")
    changed = await desired(db, lease)
    assert changed.generation == before.generation + 1
    assert Secrets(bytes(32)).decrypt(changed.secrets[0].value_encrypted.encode()) == "new"
    await ada.delete(f"{SECRETS}/{secret_id}")
    deleted = await desired(db, lease)
    assert (deleted.generation, deleted.secrets) == (before.generation + 2, [])


async def test_a_lease_has_no_secret_that_its_holder_may_not_use(
    ada: Client, admin: Client, with_key: MakeClient, workspace: str
):
    made = await admin.make(SECRETS, **GITHUB)
    sentence = "invalid: There is no secret {} that you may use; GET /api/v1/secrets lists your secrets."
    for name in ("github", "none"):
        assert await ada.refused(422, f"POST {LEASES}", lease_body(workspace, name)) == sentence.format(name)
    program = await with_key("global_admin")
    body = {**lease_body(workspace, "github"), "user_id": await ada.own_id()}
    assert "There is no secret github" in await program.refused(422, f"POST {LEASES}", body)
    await admin.change(f"{SECRETS}/{made['secret_id']}", groups=[str(ALL_USERS)])
    await ada.make(LEASES, **lease_body(workspace, "github"))
    await admin.make(LEASES, **body)  # its own


async def test_a_lease_reaches_the_hosts_of_its_secrets(ada: Client, workspace: str):
    await ada.make(SECRETS, **GITHUB)
    await ada.make(SECRETS, **{**GITHUB, "name": "same"})
    for egress in ("none", {"allow": ["example.org"]}):
        refusal = await ada.refused(422, f"POST {LEASES}", lease_body(workspace, "github", egress=egress))
        assert "The secret github goes to api.example.com, which the lease cannot reach" in refusal
    body = {"workspace": workspace, "seconds": 600, "options": {"secrets": ["github"]}}
    assert "needs options.egress with the hosts of the secrets" in await ada.refused(422, f"POST {LEASES}", body)
    both = await ada.refused(422, f"POST {LEASES}", lease_body(workspace, "github", "same"))
    assert "The secrets github and same use the same header Authorization for one host." in both


async def test_where_no_agent_can_add_secrets_a_lease_with_some_is_refused(ada: Client, db: Database, workspace: str):
    await ada.make(SECRETS, **GITHUB)
    await db.write("""UPDATE agents SET usage = '{"pauses": false}'""")
    refusal = await ada.refused(422, f"POST {LEASES}", lease_body(workspace, "github"))
    assert refusal == "invalid: No Agent can add secrets to requests; Agents in Kubernetes cannot do so."
    await db.write("""UPDATE agents SET usage = '{"brokers": true}'""")
    await ada.make(LEASES, **lease_body(workspace, "github"))


async def test_a_lease_with_secrets_goes_where_they_can_be_added(stage: Stage, ada: Client, workspace: str):
    db = stage.db
    await ada.make(SECRETS, **GITHUB)
    await db.write("""UPDATE agents SET usage = '{"brokers": false}'""")
    docker = await rows.agent(db, stage.zone_id, hostname="docker", image=stage.image_name)
    await db.write("""UPDATE agents SET usage = '{"brokers": true}' WHERE agent_id = %s""", (docker,))
    lease = await ada.make(LEASES, **lease_body(workspace, "github"))
    assert str((await stage.row(lease["session_id"]))["agent_id"]) == docker
    await db.write("UPDATE agents SET draining = true WHERE agent_id = %s", (docker,))
    await ada.refused(409, f"POST {LEASES}", lease_body(workspace, "github"))
    (row,) = await db.fetch("SELECT steps::text FROM launches WHERE outcome = 'failed'")
    assert " cannot add secrets to requests, and the lease has some." in row["steps"]
    await ada.make(LEASES, workspace=workspace, seconds=600)


async def test_python_programs_keep_secrets_and_leases_name_theirs(stage: Stage, workspace: str):
    transport = httpx.ASGITransport(stage.app)
    async with AsyncGreenroom("https://127.0.0.1:8443", *KEY, transport=transport) as greenroom:
        made = await greenroom.create_secret(
            "model", ["api.example.com"], VALUE, header="x-api-key", template="{secret}"
        )
        assert (made.hosts, made.header, made.num_leases) == (["api.example.com"], "x-api-key", 0)
        body = {**lease_body(workspace, "model"), "user_id": (await stage.admin.read("/api/v1/users"))[0]["user_id"]}
        await stage.admin.make(LEASES, **body)
        (lease,) = await greenroom.leases()
        (found,) = await greenroom.secrets()
        assert (lease.secrets, found.num_leases) == (["model"], 1)
        changed = await greenroom.change_secret(made.secret_id, value="new", hosts=[".example.com"])
        assert changed.hosts == [".example.com"]
        assert changed.value_changed > made.value_changed
        for _ in range(2):
            await greenroom.delete_secret(made.secret_id)
        assert (await greenroom.leases())[0].secrets == []


async def test_a_repeated_request_gives_the_same_lease(ada: Client, db: Database, workspace: str):
    await ada.make(SECRETS, **GITHUB)
    one, other = [
        (await ada.post(LEASES, json=lease_body(workspace, "github"), headers={"Idempotency-Key": "k"})).json()
        for _ in range(2)
    ]
    assert one["lease_id"] == other["lease_id"]
    (row,) = await db.fetch("SELECT count(*) AS number FROM filter_policies WHERE of_leases")
    assert row["number"] == 1
