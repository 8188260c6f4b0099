"""The list of what needs attention: its sentences, its order, one entry for one cause, and what a caller may see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.diagnostics.attention import FAILING, Attention, needs_attention, no_log_in
from greenroom.core.diagnostics.sentences import Help, ObjectRef
from greenroom.core.diagnostics.watched import (
    CODES,
    CREDENTIAL_CODES,
    AuditBacklog,
    BackupState,
    CertificateWarning,
    CredentialKind,
    ExpiringCredential,
    FailedLaunches,
    FailingFilter,
    FailingSignOn,
    FailingWebhook,
    ImageFailure,
    LoggedErrors,
    Sight,
    UnrecordedSessions,
    UnsynchronizedDirectory,
    Watched,
    WatchedAgent,
    WatchedManager,
    WatchedPool,
    WatchedZone,
    capacity_of,
)
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.launch.plan import Step, TraceStep
from greenroom.core.pool.model import Shortfall, ShortfallCode
from greenroom.core.webhooks import DeliveryAttempt

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
GB = 1_000_000_000
ZONE = WatchedZone(zone_id="z1", zone_name="eu", num_managers=1, num_running_managers=1, num_agents=1)
MANAGER = WatchedManager(
    manager_id="m1",
    instance_id="manager-1",
    zone_id="z1",
    zone_name="eu",
    enabled=True,
    running=True,
    is_primary=True,
    last_reported=NOW,
)
AGENT = WatchedAgent(
    agent_id="a1",
    hostname="vm",
    zone_id="z1",
    zone_name="eu",
    stored_status="running",
    enabled=True,
    draining=False,
    registered=NOW - timedelta(days=1),
    last_reported=NOW,
    silent_s=1.0,
    has_manager=True,
    runtime_error="",
    crash_loop="",
    check_in_refused="",
    edge_url_requested=None,
    cores=8.0,
    cores_allocated=2.0,
    memory=8 * GB,
    memory_allocated=3 * GB,
    users=2,
    disk=FreeDisk(),
)
IMAGE = ImageFailure(
    image_id="i1",
    name="stats:1",
    friendly_name="Stats",
    agent_id="a1",
    hostname="vm",
    zone_id="z1",
    error="no such image",
    since=NOW,
)
POOL = WatchedPool(
    staging_config_id="c1", zone_id="z1", zone_name="eu", image_id="i1", friendly_name="Stats", current=1, desired=3
)
WEBHOOK = FailingWebhook(
    webhook_id="w1", name="ops", waiting=4, oldest=NOW, last_attempt=DeliveryAttempt(error="no answer")
)
CERTIFICATE = CertificateWarning(sentence="The certificate /tls.pem ends in 3 days.", time=NOW)
BACKLOG = AuditBacklog(target="tls://siem:6514", number=1, oldest=NOW - timedelta(minutes=3))
DIRECTORY = UnsynchronizedDirectory(directory_id="d1", title="Campus", problem="", since=NOW)
ERRORS = LoggedErrors(code="loop-failed", number=3, newest=NOW, message="The loop failed")
BACKUPS = BackupState(succeeded=NOW - timedelta(days=3), failed=None, failure="", warning_days=3)
FILTER = FailingFilter(
    agent_id="a1", hostname="vm", zone_id="z1", message="The web filter fails", fails=True, newest=NOW, people=2
)
SIGN_ON = FailingSignOn(kind="sign_on_provider", source_id="p1", title="Campus", problem="it is down", since=NOW)
WAITING = LoggedErrors(code="rows-waiting", number=1, newest=NOW, message="2 log rows have waited")


def step(code: str | None, reason: str, name: Step = "on_demand_here", zone: str = "eu") -> TraceStep:
    return TraceStep(order=1, step=name, zone_name=zone, candidate="vm", used=False, code=code, reason=reason)


def failed(code: str | None = "no_capacity", *users: str, number: int = 1, image_id: str = "i1") -> FailedLaunches:
    steps = (step(code, "vm has no room."), step("no_capacity", "Zone us has no Agent.", "on_demand_elsewhere", "us"))
    return FailedLaunches(
        launch_id="l1",
        image_id=image_id,
        friendly_name="Stats",
        user_ids=frozenset(users),
        number=number,
        since=NOW,
        steps=steps,
    )


def short(code: ShortfallCode, reason: str = "2 of 3 not staged") -> WatchedPool:
    return replace(POOL, shortfall=Shortfall(code, reason))


def credential(kind: CredentialKind = "api_key", **remaining: int) -> ExpiringCredential:
    return ExpiringCredential(kind=kind, object_id="k1", name="ci", expires=NOW + timedelta(**remaining))


def entries(**state: Any) -> tuple[Attention, ...]:
    return needs_attention(Watched(now=NOW, **state))


def only(**state: Any) -> Attention:
    (entry,) = entries(**state)
    return entry


def test_a_healthy_installation_needs_no_attention():
    healthy = Watched(now=NOW, zones=(ZONE,), managers=(MANAGER,), agents=(AGENT,), pools=(POOL,))
    assert needs_attention(healthy) == ()


@pytest.mark.parametrize(
    ("change", "code", "severity", "text"),
    [
        ({"num_managers": 0, "num_running_managers": 0, "num_agents": 0}, "zone-empty", "notice", "no Manager and no"),
        ({"num_running_managers": 0}, "zone-without-manager", "failure", "No Manager of zone eu runs. Its pools are"),
        ({"num_agents": 0}, "zone-without-agent", "warning", "Zone eu has no Agent, so no session can run there."),
    ],
)
def test_a_zone_without_its_parts(change: dict[str, int], code: str, severity: str, text: str):
    entry = only(zones=(replace(ZONE, **change),))
    assert (entry.code, entry.severity, text in entry.sentence) == (code, severity, True), entry.sentence


def test_a_zone_whose_managers_run_and_lead_nothing():
    entry = only(zones=(ZONE,), managers=(replace(MANAGER, is_primary=False),))
    assert (entry.code, entry.help.object) == ("zone-without-primary", ObjectRef("managers"))


@pytest.mark.parametrize(
    ("change", "sentence", "help_"),
    [
        (
            {"enabled": False, "running": False, "disabled_since": NOW},
            "Manager manager-1 of zone eu is disabled.",
            Help("Enable", ObjectRef("manager", "m1"), "enable"),
        ),
        (
            {"reason": "It started 3 times"},
            "Manager manager-1 of zone eu: It started 3 times.",
            Help("Show the Manager", ObjectRef("manager", "m1")),
        ),
        (
            {"running": False},
            "Manager manager-1 of zone eu does not report. Check its process and its database connection.",
            Help("Show the Manager", ObjectRef("manager", "m1")),
        ),
    ],
)
def test_a_manager_that_does_no_work(change: dict[str, Any], sentence: str, help_: Help):
    entry = only(managers=(replace(MANAGER, **change),))
    assert (entry.sentence, entry.help) == (sentence, help_)


@pytest.mark.parametrize(
    ("change", "code", "severity", "text"),
    [
        ({"stored_status": "pending", "enabled": False}, "agent-waits", "warning", "waits until you enable it."),
        ({"stored_status": "missing", "silent_s": 40.0}, "agent-missing", "failure", "vm is missing. It has not"),
        ({"stored_status": "missing", "users": 0}, "agent-missing", "warning", "is missing"),
        ({"stored_status": "dead"}, "agent-missing", "failure", "vm is dead: it does not check in."),
        ({"runtime_error": "Docker is down"}, "agent-problem", "warning", "vm: It cannot start sessions: Docker"),
        ({"enabled": False}, "agent-disabled", "notice", "is disabled and gets no new sessions."),
        ({"disk": FreeDisk(free_bytes=GB, kept_bytes=2 * GB)}, "disk", "failure", "accepts no new sessions."),
        ({"disk": FreeDisk(free_bytes=3 * GB, kept_bytes=2 * GB)}, "disk", "warning", "below 2 GB it takes no new"),
    ],
)
def test_an_agent_that_needs_help(change: dict[str, Any], code: str, severity: str, text: str):
    entry = only(agents=(replace(AGENT, **change),))
    assert (entry.code, entry.severity, text in entry.sentence) == (code, severity, True), entry.sentence


@pytest.mark.parametrize("change", [{"draining": True}, {"stored_status": "pending"}])
def test_an_agent_that_an_administrator_drains_or_that_starts(change: dict[str, Any]):
    assert entries(agents=(replace(AGENT, **change),)) == ()


def test_a_zone_without_a_manager_explains_its_parts_and_its_pools():
    state = {
        "zones": (replace(ZONE, num_running_managers=0),),
        "managers": (replace(MANAGER, running=False, is_primary=False),),
        "agents": (replace(AGENT, has_manager=False, silent_s=60.0),),
        "pools": (short("no-running-manager"),),
    }
    assert only(**state).code == "zone-without-manager"


def test_a_zone_without_an_agent_explains_its_pools():
    assert only(zones=(replace(ZONE, num_agents=0),), pools=(short("no-agent"),)).code == "zone-without-agent"


def test_an_image_explains_the_failed_launches_and_the_pools_of_its_workspace():
    launches = (failed("image_unavailable", "u1", "u2"), failed("image_unavailable", "u2", "u3"))
    entry = only(images=(IMAGE,), pools=(short("image-unavailable"),), launches=launches)
    assert entry.sentence == "The image of Stats cannot be pulled on vm. No such image."
    assert (entry.people, entry.help) == (3, Help("Pull again", ObjectRef("image", "i1"), "pull"))


def test_an_image_that_several_agents_lack():
    entry = only(images=(IMAGE, replace(IMAGE, agent_id="a2", hostname="vm-2", error="")))
    assert entry.sentence == "The image of Stats cannot be pulled on 2 Agents. No such image."
    without_error = only(images=(replace(IMAGE, error=""),))
    assert without_error.sentence == "The image of Stats cannot be pulled on vm."


def test_an_image_that_is_specified_by_its_digest_is_not_pulled_again():
    entry = only(images=(replace(IMAGE, name=f"stats@sha256:{'0' * 64}"),))
    assert entry.help == Help("Correct the image", ObjectRef("image", "i1"))


def test_a_failed_launch_with_another_cause_keeps_its_entry():
    found = entries(images=(IMAGE,), launches=(failed("no_capacity", "u1"), failed("image_unavailable", image_id="i2")))
    assert sorted(entry.code for entry in found) == ["image", "launches", "launches"]


@pytest.mark.parametrize("code", ["starting", "image-pulling", "paused"])
def test_a_pool_that_fills_itself_or_is_paused_needs_no_attention(code: ShortfallCode):
    assert entries(pools=(short(code),)) == ()


@pytest.mark.parametrize(
    ("code", "help_"),
    [
        ("no-capacity", Help("Add an Agent", ObjectRef("agents"), "create")),
        ("image-unavailable", Help("Correct the image", ObjectRef("image", "i1"))),
        ("zone-request-host", Help("Change the zone", ObjectRef("zone", "z1"), "edit")),
        ("start-failing", Help("Show the workspace", ObjectRef("image", "i1"))),
    ],
)
def test_a_short_pool_names_its_reason_and_the_action(code: ShortfallCode, help_: Help):
    entry = only(pools=(short(code),))
    assert (entry.sentence, entry.help) == ("Pool Stats in zone eu: 2 of 3 not staged.", help_)
    assert [part.object.kind for part in entry.parts if part.object] == ["staging_config", "zone"]


def test_a_full_pool_whose_next_session_cannot_start_needs_attention():
    problem = Shortfall("start-failing", "The next session cannot start: exit code 4")
    entry = only(pools=(replace(POOL, current=3, refill_problem=problem),))
    assert entry.sentence == "Pool Stats in zone eu: The next session cannot start: exit code 4."
    assert (entry.code, entry.severity, entry.help) == (
        "pool",
        "warning",
        Help("Show the workspace", ObjectRef("image", "i1")),
    )
    broken = replace(POOL, refill_problem=Shortfall("image-unavailable", "The next session cannot start: no image"))
    assert only(images=(IMAGE,), pools=(broken,)).code == "image", "one cause has one entry"


def test_a_short_pool_explains_the_failed_launches_with_its_cause():
    entry = only(pools=(short("no-capacity"),), launches=(failed("no_capacity", "u1"),))
    assert (entry.code, entry.severity, entry.people) == ("pool", "failure", 1)


@pytest.mark.parametrize(
    ("launches", "sentence"),
    [
        (failed("no_capacity", "u1"), "1 person could not launch Stats. Zone eu: vm has no room."),
        (failed("no_disk"), "1 person could not launch Stats. Zone eu: vm has no room."),
        (failed("no_disk", "u1", "u2", number=5), "2 people could not launch Stats in 5 attempts. Zone eu: vm has no"),
    ],
)
def test_failed_launches_name_the_cause_in_the_own_zone(launches: FailedLaunches, sentence: str):
    assert only(launches=(launches,)).sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("code", "help_"),
    [
        ("image_disabled", Help("Enable the workspace", ObjectRef("image", "i1"), "enable")),
        ("agent_disabled", Help("Enable an Agent", ObjectRef("agents"))),
        (None, Help("Show why", ObjectRef("launches"))),
    ],
)
def test_failed_launches_have_the_action_for_their_cause(code: str | None, help_: Help):
    assert only(launches=(failed(code),)).help == help_


def test_messages_that_do_not_arrive():
    webhook, backlog = only(webhooks=(WEBHOOK,)), only(backlog=BACKLOG)
    assert webhook.sentence == "Webhook ops does not deliver: 4 messages waiting. No answer."
    assert webhook.help == Help("Deliver again", ObjectRef("webhook", "w1"), "deliver")
    assert backlog.sentence == "1 event of the audit did not reach tls://siem:6514."
    assert entries(backlog=replace(BACKLOG, oldest=NOW - timedelta(minutes=1))) == ()
    assert only(unrecorded=EVERYTHING.unrecorded).sentence.startswith("2 sessions must be recorded, but no video")


def test_a_directory_that_is_not_synchronized():
    overdue, stopped = only(directories=(DIRECTORY,)), only(directories=(replace(DIRECTORY, problem="it is down"),))
    text = "Directory Campus is not synchronized: users who left it keep their access."
    assert (overdue.severity, overdue.sentence) == ("failure", f"{text} The synchronization is overdue.")
    assert stopped.sentence == f"{text} It is down."


def test_a_provider_or_directory_that_does_not_answer():
    provider, directory = only(sign_on=(SIGN_ON,)), only(sign_on=(replace(SIGN_ON, kind="directory"),))
    assert (provider.severity, provider.sentence) == ("failure", "No user can log in through Campus: It is down.")
    assert provider.sentence == no_log_in(SIGN_ON.title, SIGN_ON.problem)
    assert provider.help == Help("Show the providers", ObjectRef("sign_on_provider", "p1"))
    assert directory.sentence == provider.sentence
    assert directory.help == Help("Show the directory", ObjectRef("directory", "p1"))


@pytest.mark.parametrize(
    ("kind", "remaining", "severity", "sentence"),
    [
        ("api_key", {"days": 6, "hours": 1}, "warning", "API key ci expires in 6 days."),
        ("service_account", {"days": 8}, "notice", "Service account ci expires in 8 days."),
        ("scim_client", {"minutes": 90}, "warning", "SCIM client ci expires in 1 hour."),
    ],
)
def test_a_credential_that_expires(kind: CredentialKind, remaining: dict[str, int], severity: str, sentence: str):
    entry = only(credentials=(credential(kind, **remaining),))
    assert (entry.severity, entry.sentence) == (severity, sentence)


def test_a_credential_that_expires_later_needs_no_attention():
    assert entries(credentials=(credential(days=15),)) == ()


def test_a_certificate_of_a_gateway_that_expires():
    entry = only(certificates=(CERTIFICATE,))
    assert (entry.code, entry.severity, entry.sentence) == ("certificate", "warning", CERTIFICATE.sentence)
    assert entry.help == Help("Show how", ObjectRef("guide", "one-machine.html#renew-a-certificate"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/srv/data/greenroom/gateway/tls/cert.pem", "…/tls/cert.pem"),
        ("/tls/cert.pem", "/tls/cert.pem"),
        ("cert.pem", "cert.pem"),
    ],
)
def test_a_certificate_is_named_by_the_end_of_its_path(path: str, shown: str):
    warning = CertificateWarning(sentence=f"The certificate {path} ends in 3 days.", time=NOW)
    assert only(certificates=(warning,)).sentence == f"The certificate {shown} ends in 3 days."


def test_work_that_fails_again_and_again_has_an_entry_of_its_own():
    found = entries(failing=tuple(replace(WAITING, code=code) for code in FAILING))
    assert {(entry.code, entry.severity) for entry in found} == {
        ("rows-waiting", "failure"),
        ("task", "failure"),
        ("clean-up", "warning"),
    }


def test_a_backup_that_failed_or_is_too_old():
    old, failed_ = only(backups=BACKUPS), replace(BACKUPS, failed=NOW, failure="the disk is full")
    assert (old.severity, old.sentence) == ("warning", "The last backup is 3 days old.")
    entry = only(backups=failed_, errors=(replace(ERRORS, code="backup-failed"),))
    assert (entry.severity, entry.sentence) == ("failure", "The last backup failed. The disk is full.")
    assert entries(backups=replace(BACKUPS, warning_days=4)) == entries(backups=replace(BACKUPS, warning_days=0)) == ()


def test_a_web_filter_that_fails_and_one_that_was_started_again():
    errors = (replace(ERRORS, code="web-filter-down"),)
    entry = only(filters=(FILTER,), errors=errors)
    assert (entry.severity, entry.people, entry.sentence) == ("failure", 2, "Agent vm: The web filter fails.")
    assert only(filters=(replace(FILTER, fails=False),)).severity == "warning"


def test_rows_that_the_database_refuses_have_one_entry():
    entry = only(failing=(WAITING,), errors=(WAITING,))
    assert (entry.code, entry.severity, entry.sentence) == ("rows-waiting", "failure", "2 log rows have waited.")


def test_errors_in_the_log_that_no_other_entry_reports():
    entry = only(errors=(ERRORS, replace(ERRORS, code="staging-shortfall")))
    assert entry.sentence == "3 errors loop-failed in the last hour. The newest: The loop failed."


def test_a_reason_names_agents_and_zones_as_objects():
    entry = only(zones=(ZONE,), managers=(MANAGER,), agents=(AGENT,), launches=(failed("no_capacity", "u1"),))
    assert entry.sentence == "1 person could not launch Stats. Zone eu: vm has no room."
    assert [part.object for part in entry.names] == [ObjectRef("zone", "z1"), ObjectRef("agent", "a1")]
    assert entry.launch_id == "l1"


def test_a_name_of_two_objects_is_no_link():
    twin = replace(AGENT, agent_id="a2")
    entry = only(zones=(ZONE,), managers=(MANAGER,), agents=(AGENT, twin), launches=(failed("no_capacity", "u1"),))
    assert [part.text for part in entry.names] == ["eu"]


def test_failures_come_first_and_then_those_with_the_most_people():
    found = entries(
        managers=(replace(MANAGER, enabled=False),),
        webhooks=(WEBHOOK,),
        launches=(failed("no_disk", "u1"), failed("restricted", "u1", "u2", image_id="i2")),
    )
    assert [(entry.severity, entry.people) for entry in found] == [
        ("failure", 2),
        ("failure", 1),
        ("warning", 0),
        ("notice", 0),
    ]


EVERYTHING = Watched(
    now=NOW,
    zones=(ZONE, replace(ZONE, zone_id="z2")),
    managers=(MANAGER, replace(MANAGER, zone_id="z2")),
    agents=(AGENT, replace(AGENT, zone_id="z2")),
    images=(IMAGE, replace(IMAGE, zone_id="z2")),
    pools=(POOL, replace(POOL, zone_id="z2")),
    launches=(failed(),),
    webhooks=(WEBHOOK,),
    credentials=(credential("api_key"), credential("scim_client")),
    sign_on=(SIGN_ON,),
    backlog=BACKLOG,
    directories=(DIRECTORY,),
    unrecorded=UnrecordedSessions(number=2, people=1, since=NOW),
    errors=(ERRORS,),
    failing=(WAITING,),
    certificates=(CERTIFICATE,),
    filters=(FILTER, replace(FILTER, zone_id="z2")),
    backups=BACKUPS,
)


def test_a_caller_with_all_permissions_sees_everything():
    assert EVERYTHING.seen_by(Sight(dict.fromkeys(CODES))) == EVERYTHING


def test_the_permissions_of_the_page_exist():
    assert {*CODES, *CREDENTIAL_CODES.values()} <= PERMISSIONS.keys()


def test_a_caller_without_a_permission_sees_nothing():
    assert EVERYTHING.seen_by(Sight()) == Watched(now=NOW)


def test_a_caller_with_a_role_in_one_zone_sees_this_zone():
    seen = EVERYTHING.seen_by(Sight({code: ["z2"] for code in CODES}))
    parts = (seen.zones, seen.managers, seen.agents, seen.images, seen.pools, seen.filters)
    assert [[each.zone_id for each in part] for part in parts] == [["z2"]] * 6
    assert (seen.launches, seen.webhooks, seen.credentials, seen.backlog, seen.errors) == ((), (), (), None, ())
    assert (seen.certificates, seen.failing, seen.unrecorded) == ((), (), None)
    assert (seen.directories, seen.backups, seen.sign_on) == ((), None, ())


def test_the_capacity_is_that_of_agents_that_accept_sessions():
    full, drained = replace(AGENT, cores_allocated=9.0, memory_allocated=9 * GB), replace(AGENT, draining=True)
    no_disk = replace(AGENT, disk=FreeDisk(free_bytes=GB, kept_bytes=2 * GB))
    no_docker = replace(AGENT, runtime_error="Docker does not answer.")
    capacity = capacity_of([AGENT, full, drained, replace(AGENT, stored_status="missing"), no_disk, no_docker])
    assert (capacity.agents, capacity.running) == (6, 5)
    assert (capacity.cores, capacity.cores_free, capacity.memory_free) == (16.0, 6.0, 5 * GB)
