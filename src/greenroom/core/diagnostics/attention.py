"""The list *Needs attention* of the page Today: what an administrator should do now, each with the one action that
helps.

One cause has one entry. An image that no Agent can pull also explains the failed launches and the short pools of its
workspace, and a zone without a Manager explains its pools and its silent Agents. The entries are ordered by severity,
and then by the number of people who are affected.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from greenroom.core.diagnostics.sentences import Help, ObjectRef, SentencePart, names_in
from greenroom.core.diagnostics.watched import (
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
    UnrecordedSessions,
    UnsynchronizedDirectory,
    Watched,
    WatchedAgent,
    WatchedManager,
    WatchedPool,
    WatchedZone,
)
from greenroom.core.fleet.disk import shortage, shortage_warning
from greenroom.core.launch.plan import TraceStep, own_zone_codes, own_zone_reason
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.model import Shortfall
from greenroom.core.text import counted, rough_duration

Severity = Literal["failure", "warning", "notice"]
"""`failure`: users are affected now. `warning`: users will be affected. `notice`: for information."""
SEVERITIES: Final[tuple[Severity, ...]] = ("failure", "warning", "notice")
AttentionCode = Literal[
    "zone-empty",
    "zone-without-manager",
    "zone-without-primary",
    "zone-without-agent",
    "manager-disabled",
    "manager-crash-looping",
    "manager-silent",
    "agent-waits",
    "agent-missing",
    "agent-problem",
    "agent-disabled",
    "disk",
    "image",
    "pool",
    "launches",
    "webhook",
    "sign-on",
    "expiry",
    "certificate",
    "audit-delivery",
    "directory",
    "web-filter",
    "backup",
    "rows-waiting",
    "task",
    "clean-up",
    "recording",
    "log",
]
"""The conditions of entries; docs/reference/today.md describes each code."""
ATTENTION_CODES: Final[tuple[AttentionCode, ...]] = get_args(AttentionCode)
EXPIRY_NOTICE: Final = timedelta(days=14)
EXPIRY_WARNING: Final = timedelta(days=7)
"""The remaining times of a credential from which on it is a notice and a warning."""
BACKLOG_AFTER: Final = timedelta(seconds=120)
"""An event of the audit that a syslog server has not received for this time counts as not delivered."""
COVERED_CODES: Final = frozenset(
    {
        LogCode.STAGING_SHORTFALL,
        LogCode.STAGED_SESSION_FAILED,
        LogCode.STAGED_SESSION_BROKEN,
        LogCode.SESSION_FAILED,
        LogCode.CRASH_LOOPING,
        LogCode.AGENT_CHECK_IN_REFUSED,
        LogCode.AGENT_DISK_SHORT,
        LogCode.AGENT_OFFERS_NOTHING,
        LogCode.ROWS_WAITING,
        LogCode.WEB_FILTER_DOWN,
        LogCode.BACKUP_FAILED,
    }
)
"""Codes of errors in the log that another entry or the state of an object reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """An entry of the list. `people` is the number of users who are affected now. `names` are further objects that its
    texts name. `launch_id` is the launch whose decision explains the entry."""

    code: AttentionCode
    severity: Severity
    parts: tuple[SentencePart, ...]
    help: Help
    people: int = 0
    since: datetime | None = None
    names: tuple[SentencePart, ...] = ()
    launch_id: str | None = None

    @property
    def sentence(self) -> str:
        return "".join(part.text for part in self.parts)


def needs_attention(seen: Watched) -> tuple[Attention, ...]:
    """Return the entries of the list. `seen` has only what the caller may see."""
    unmanaged = {zone.zone_id for zone in seen.zones if zone.num_running_managers == 0}
    images, launches = _group_by_workspace(seen.images), list(seen.launches)
    entries = [
        *(entry for zone in seen.zones for entry in _of_zone(zone, seen.managers)),
        *(entry for manager in seen.managers for entry in _of_manager(manager, unmanaged)),
        *(entry for agent in seen.agents for entry in _of_agent(agent, unmanaged)),
        *(entry for agent in seen.agents for entry in _of_disk(agent)),
        *(
            _of_image(failures, _take(launches, image_id, {"image_unavailable"}))
            for image_id, failures in images.items()
        ),
        *(
            _of_pool(pool, short, _take(launches, pool.image_id, _LAUNCH_CODES.get(short.code, ())))
            for pool in seen.pools
            if (short := pool.shortfall) and short.needs_action and not _is_explained(pool, short, images, seen.zones)
        ),
        *(
            _of_pool(pool, problem, people=0)
            for pool in seen.pools
            if (problem := pool.refill_problem) and not _is_explained(pool, problem, images, seen.zones)
        ),
    ]
    entries += [_of_launches(each) for each in launches]
    entries += [_of_webhook(webhook) for webhook in seen.webhooks]
    entries += [_of_sign_on(failing) for failing in seen.sign_on]
    entries += [_of_credential(each, seen.now) for each in seen.credentials if each.expires < seen.now + EXPIRY_NOTICE]
    entries += [_of_certificate(each) for each in seen.certificates]
    if (backlog := seen.backlog) and backlog.oldest and seen.now - backlog.oldest > BACKLOG_AFTER:
        entries.append(_of_backlog(backlog))
    entries += [_of_directory(each) for each in seen.directories]
    entries += [_of_filter(each) for each in seen.filters]
    entries += _of_backups(seen.backups, seen.now) if seen.backups else ()
    entries += [_of_failing(each) for each in seen.failing]
    entries += [_of_unrecorded(seen.unrecorded)] if seen.unrecorded else []
    covered = COVERED_CODES | {each.code for each in seen.failing}
    entries += [_of_errors(errors) for errors in seen.errors if errors.code not in covered]
    names = _names(seen)
    entries = [
        replace(entry, names=names_in("".join(part.text for part in entry.parts if not part.object), names))
        for entry in entries
    ]
    return tuple(sorted(entries, key=lambda entry: (SEVERITIES.index(entry.severity), -entry.people)))


def _names(seen: Watched) -> dict[str, ObjectRef]:
    """Return the names in reasons, with their objects. Names that several objects have are left out."""
    named = [
        *((zone.zone_name, ObjectRef("zone", zone.zone_id)) for zone in seen.zones),
        *((manager.instance_id, ObjectRef("manager", manager.manager_id)) for manager in seen.managers),
        *((agent.hostname, ObjectRef("agent", agent.agent_id)) for agent in seen.agents),
    ]
    counts = Counter(name for name, _ in named)
    return {name: ref for name, ref in named if counts[name] == 1}


def _entry(
    code: AttentionCode,
    severity: Severity,
    help_: Help,
    *parts: SentencePart | str,
    people: int = 0,
    since: datetime | None = None,
) -> Attention:
    sentence = tuple(SentencePart(part) if isinstance(part, str) else part for part in parts)
    return Attention(code=code, severity=severity, parts=sentence, help=help_, people=people, since=since)


def _of_zone(zone: WatchedZone, managers: Sequence[WatchedManager]) -> Iterator[Attention]:
    ref = ObjectRef("zone", zone.zone_id)
    name, show_managers = SentencePart(zone.zone_name, ref), Help("Show the Managers", ObjectRef("managers"))
    own = [manager for manager in managers if manager.zone_id == zone.zone_id]
    if zone.num_managers == 0 and zone.num_agents == 0:
        text = " has no Manager and no Agent, so no session can run there."
        yield _entry("zone-empty", "notice", Help("Show the zone", ref), "Zone ", name, text)
        return
    if zone.num_running_managers == 0:
        text = " runs. Its pools are not filled, and its Agents get no instructions."
        yield _entry("zone-without-manager", "failure", show_managers, "No Manager of zone ", name, text)
    elif own and not any(manager.is_primary for manager in own):
        text = " has no Primary Manager, so its pools are not filled."
        yield _entry("zone-without-primary", "failure", show_managers, "Zone ", name, text)
    if zone.num_agents == 0:
        text = " has no Agent, so no session can run there."
        yield _entry("zone-without-agent", "warning", _ADD_AGENT, "Zone ", name, text)


def _of_manager(manager: WatchedManager, unmanaged: set[str]) -> Iterator[Attention]:
    ref = ObjectRef("manager", manager.manager_id)
    zone = SentencePart(manager.zone_name, ObjectRef("zone", manager.zone_id))
    subject = ("Manager ", SentencePart(manager.instance_id, ref), " of zone ", zone)
    show = Help("Show the Manager", ref)
    if not manager.enabled:
        enable = Help("Enable", ref, "enable")
        yield _entry("manager-disabled", "notice", enable, *subject, " is disabled.", since=manager.disabled_since)
    elif manager.reason:
        yield _entry("manager-crash-looping", "warning", show, *subject, f": {_sentence(manager.reason)}")
    elif not manager.running and manager.zone_id not in unmanaged:
        text = " does not report. Check its process and its database connection."
        yield _entry("manager-silent", "warning", show, *subject, text, since=manager.last_reported)


def _of_agent(agent: WatchedAgent, unmanaged: set[str]) -> Iterator[Attention]:
    ref, (status, reason) = ObjectRef("agent", agent.agent_id), (agent.effective.status, agent.effective.reason)
    subject, show = ("Agent ", SentencePart(agent.hostname, ref)), Help("Show the Agent", ref)
    enable = Help("Enable", ref, "enable")
    if status == "pending" and not agent.enabled:
        text = " is new and waits until you enable it."
        yield _entry("agent-waits", "warning", enable, *subject, text, since=agent.registered)
    elif status in ("missing", "dead"):
        if agent.zone_id not in unmanaged:
            severity: Severity = "failure" if agent.users else "warning"
            text = f" is {status}. {_sentence(reason)}" if reason else f" is {status}: it does not check in."
            yield _entry("agent-missing", severity, show, *subject, text, people=agent.users, since=agent.last_reported)
    elif reason:
        yield _entry("agent-problem", "warning", show, *subject, f": {_sentence(reason)}", people=agent.users)
    elif not agent.enabled:
        yield _entry("agent-disabled", "notice", enable, *subject, " is disabled and gets no new sessions.")


def _of_disk(agent: WatchedAgent) -> Iterator[Attention]:
    ref = ObjectRef("agent", agent.agent_id)
    subject, show = ("Agent ", SentencePart(agent.hostname, ref)), Help("Show the Agent", ref)
    if agent.effective.status != "running":
        return
    if short := shortage(agent.hostname, agent.disk).removeprefix(agent.hostname):
        text = f"{short}. It accepts no new sessions."
        yield _entry("disk", "failure", show, *subject, text, people=agent.users)
    elif low := shortage_warning(agent.hostname, agent.disk).removeprefix(agent.hostname):
        yield _entry("disk", "warning", show, *subject, f"{low}.")


def _group_by_workspace(images: Iterable[ImageFailure]) -> dict[str, list[ImageFailure]]:
    grouped: defaultdict[str, list[ImageFailure]] = defaultdict(list)
    for image in images:
        grouped[image.image_id].append(image)
    return grouped


def _of_image(failures: Sequence[ImageFailure], people: int) -> Attention:
    first, since = failures[0], min(failure.since for failure in failures)
    ref = ObjectRef("image", first.image_id)
    place = SentencePart(counted(len(failures), "Agent"), ObjectRef("agents"))
    if len(failures) == 1:
        place = SentencePart(first.hostname, ObjectRef("agent", first.agent_id))
    sentence = ("The image of ", SentencePart(first.friendly_name, ref), " cannot be pulled on ", place)
    error = f". {_sentence(first.error)}" if first.error else "."
    # An image that is specified by its digest cannot be refreshed.
    pull = Help("Correct the image", ref) if "@" in first.name else Help("Pull again", ref, "pull")
    return _entry("image", "failure", pull, *sentence, error, people=people, since=since)


_LAUNCH_CODES: Final[Mapping[str, frozenset[str]]] = {
    "no-capacity": frozenset({"no_capacity", "no_disk"}),
    "no-agent": frozenset({"no_capacity", "agent_missing", "agent_disabled"}),
    "no-running-manager": frozenset({"agent_missing"}),
    "image-disabled": frozenset({"image_disabled"}),
}
"""Code of a shortfall → the codes of failed launches with the same cause."""
_ADD_AGENT: Final = Help("Add an Agent", ObjectRef("agents"), "create")
_SHOW_AGENTS: Final = Help("Show the Agents", ObjectRef("agents"))
_ENABLE_WORKSPACE: Final = Help("Enable the workspace", ObjectRef("image"), "enable")
_CORRECT_IMAGE: Final = Help("Correct the image", ObjectRef("image"))
_POOL_HELP: Final[Mapping[str, Help]] = {
    "no-capacity": _ADD_AGENT,
    "no-agent": _SHOW_AGENTS,
    "no-running-manager": Help("Show the Managers", ObjectRef("managers")),
    "image-disabled": _ENABLE_WORKSPACE,
    "image-unavailable": _CORRECT_IMAGE,
    "start-failing": Help("Show the workspace", ObjectRef("image")),
    "zone-request-host": Help("Change the zone", ObjectRef("zone"), "edit"),
}
_LAUNCH_HELP: Final[Mapping[str, Help]] = {
    "no_capacity": _ADD_AGENT,
    "no_disk": _SHOW_AGENTS,
    "agent_missing": _SHOW_AGENTS,
    "agent_disabled": Help("Enable an Agent", ObjectRef("agents")),
    "image_disabled": _ENABLE_WORKSPACE,
    "image_unavailable": _CORRECT_IMAGE,
    "restricted": Help("Change the workspace", ObjectRef("image")),
}


def pool_help(short: Shortfall, image_id: str, zone_id: str) -> Help | None:
    """Return the action that helps a short pool of this workspace and zone; None if there is none."""
    return _help_with(_POOL_HELP.get(short.code), {"image": image_id, "zone": zone_id})


def launch_help(steps: Sequence[TraceStep], image_id: str) -> Help | None:
    """Return the action that helps after a failed launch of this workspace; None if there is none."""
    codes = sorted(own_zone_codes(steps) & _LAUNCH_HELP.keys())
    return _help_with(_LAUNCH_HELP[codes[0]] if codes else None, {"image": image_id})


def _help_with(action: Help | None, ids: Mapping[str, str]) -> Help | None:
    """Return an action with the id of its object; a list has none."""
    return action and replace(action, object=ObjectRef(action.object.kind, ids.get(action.object.kind, "")))


def _take(launches: list[FailedLaunches], image_id: str, codes: Iterable[str]) -> int:
    """Remove the failed launches of a workspace that these codes explain, and return the number of their users."""
    cause = frozenset(codes)
    explained = [
        each for each in launches if each.image_id == image_id and cause.issuperset(own_zone_codes(each.steps))
    ]
    launches[:] = [each for each in launches if each not in explained]
    return len(frozenset[str]().union(*(each.user_ids for each in explained)))


def _is_explained(
    pool: WatchedPool, short: Shortfall, images: Mapping[str, object], zones: Iterable[WatchedZone]
) -> bool:
    """True if another entry of the list has the cause of the shortfall."""
    own = [zone for zone in zones if zone.zone_id == pool.zone_id]
    return (
        (short.code == "image-unavailable" and pool.image_id in images)
        or (short.code == "no-running-manager" and any(zone.num_running_managers == 0 for zone in own))
        or (short.code == "no-agent" and any(zone.num_agents == 0 for zone in own))
    )


def _of_pool(pool: WatchedPool, short: Shortfall, people: int) -> Attention:
    own, zone = ObjectRef("staging_config", pool.staging_config_id), ObjectRef("zone", pool.zone_id)
    return _entry(
        "pool",
        "failure" if people else "warning",
        pool_help(short, pool.image_id, pool.zone_id) or Help("Show the pool", own),
        *("Pool ", SentencePart(pool.friendly_name, own), " in zone ", SentencePart(pool.zone_name, zone)),
        f": {_sentence(short.reason)}",
        people=people,
        since=pool.since,
    )


def _of_launches(failed: FailedLaunches) -> Attention:
    people = max(1, len(failed.user_ids))
    attempts = "" if failed.number <= people else f" in {failed.number} attempts"
    entry = _entry(
        "launches",
        "failure",
        launch_help(failed.steps, failed.image_id) or Help("Show why", ObjectRef("launches")),
        f"{'1 person' if people == 1 else f'{people} people'} could not launch ",
        SentencePart(failed.friendly_name, ObjectRef("image", failed.image_id)),
        f"{attempts}. {_sentence(own_zone_reason(failed.steps))}",
        people=people,
        since=failed.since,
    )
    return replace(entry, launch_id=failed.launch_id)


def _of_webhook(webhook: FailingWebhook) -> Attention:
    ref = ObjectRef("webhook", webhook.webhook_id)
    text = f" does not deliver: {counted(webhook.waiting, 'message')} waiting. {_sentence(webhook.last_attempt.text)}"
    sentence = ("Webhook ", SentencePart(webhook.name, ref), text)
    return _entry("webhook", "warning", Help("Deliver again", ref, "deliver"), *sentence, since=webhook.oldest)


def no_log_in(title: str, problem: str) -> str:
    """Return the sentence about a provider or a directory through which no user can log in."""
    return f"No user can log in through {title}: {_sentence(problem)}"


def _of_sign_on(failing: FailingSignOn) -> Attention:
    ref = ObjectRef(failing.kind, failing.source_id)
    title = SentencePart(failing.title, ref)
    sentence = ("No user can log in through ", title, f": {_sentence(failing.problem)}")
    show = Help("Show the providers" if failing.kind == "sign_on_provider" else "Show the directory", ref)
    return _entry("sign-on", "failure", show, *sentence, since=failing.since)


_CREDENTIALS: Final[Mapping[CredentialKind, tuple[str, str]]] = {
    "api_key": ("API key ", "Show the API keys"),
    "service_account": ("Service account ", "Show the account"),
    "scim_client": ("SCIM client ", "Show the clients"),
}


def _of_credential(credential: ExpiringCredential, now: datetime) -> Attention:
    noun, title = _CREDENTIALS[credential.kind]
    ref = ObjectRef(credential.kind, credential.object_id)
    severity: Severity = "warning" if credential.expires < now + EXPIRY_WARNING else "notice"
    text = f" expires in {rough_duration((credential.expires - now).total_seconds())}."
    return _entry("expiry", severity, Help(title, ref), noun, SentencePart(credential.name, ref), text)


_OUTER_FOLDERS: Final = re.compile(r"(?<!\S)/\S+/(?=[^/\s]+/[^/\s]+)")
"""The beginning of a path with more than two parts. The log has the whole path."""


def _of_certificate(warning: CertificateWarning) -> Attention:
    show = Help("Show how", ObjectRef("guide", "one-machine.html#renew-a-certificate"))
    return _entry("certificate", "warning", show, _OUTER_FOLDERS.sub("…/", warning.sentence), since=warning.time)


def _of_backlog(backlog: AuditBacklog) -> Attention:
    show = Help("Show the log", ObjectRef("log_code", LogCode.AUDIT_DELIVERY_FAILED))
    text = f"{counted(backlog.number, 'event')} of the audit did not reach {backlog.target}."
    return _entry("audit-delivery", "warning", show, text, since=backlog.oldest)


def _of_directory(directory: UnsynchronizedDirectory) -> Attention:
    ref = ObjectRef("directory", directory.directory_id)
    reason = _sentence(directory.problem) or "The synchronization is overdue."
    text = f" is not synchronized: users who left it keep their access. {reason}"
    sentence = ("Directory ", SentencePart(directory.title, ref), text)
    return _entry("directory", "failure", Help("Show the directory", ref), *sentence, since=directory.since)


def _of_filter(failing: FailingFilter) -> Attention:
    agent = SentencePart(failing.hostname, ObjectRef("agent", failing.agent_id))
    show = Help("Show the log", ObjectRef("log_code", LogCode.WEB_FILTER_DOWN))
    severity: Severity = "failure" if failing.fails else "warning"
    sentence = ("Agent ", agent, f": {_sentence(failing.message)}")
    return _entry("web-filter", severity, show, *sentence, people=failing.people, since=failing.newest)


def _of_backups(backups: BackupState, now: datetime) -> Iterator[Attention]:
    if backups.failed:
        show = Help("Show the log", ObjectRef("log_code", LogCode.BACKUP_FAILED))
        text = f"The last backup failed. {_sentence(backups.failure)}"
        yield _entry("backup", "failure", show, text, since=backups.failed)
    elif backups.succeeded and 0 < backups.warning_days <= (age := now - backups.succeeded).days:
        show = Help("Show the setting", ObjectRef("setting", "backup_warning_days"))
        text = f"The last backup is {rough_duration(age.total_seconds())} old."
        yield _entry("backup", "warning", show, text, since=backups.succeeded)


FAILING: Final[Mapping[str, tuple[AttentionCode, Severity]]] = {
    LogCode.ROWS_WAITING: ("rows-waiting", "failure"),
    LogCode.PRIMARY_TASK_FAILED: ("task", "failure"),
    LogCode.CLEAN_UP_FAILED: ("clean-up", "warning"),
}
"""Code of the log → code and severity of the entry about it."""


def _of_failing(failing: LoggedErrors) -> Attention:
    code, severity = FAILING[failing.code]
    show = Help("Show the log", ObjectRef("log_code", failing.code))
    return _entry(code, severity, show, _sentence(failing.message), since=failing.newest)


def _of_unrecorded(unrecorded: UnrecordedSessions) -> Attention:
    show = Help("Show the log", ObjectRef("log_code", LogCode.SESSION_VIDEO_NOT_STORED))
    text = f"{counted(unrecorded.number, 'session')} must be recorded, but no video was stored recently."
    return _entry("recording", "failure", show, text, people=unrecorded.people, since=unrecorded.since)


def _of_errors(errors: LoggedErrors) -> Attention:
    ref = ObjectRef("log_code", errors.code)
    newest = f" in the last hour. The newest: {_sentence(errors.message)}"
    sentence = (f"{counted(errors.number, 'error')} ", SentencePart(errors.code, ref), newest)
    return _entry("log", "notice", Help("Show the log", ref), *sentence, since=errors.newest)


def _sentence(text: str) -> str:
    """Return a text that begins with a capital letter and ends with a full stop; empty if there is no text."""
    return f"{text[:1].upper()}{text[1:].rstrip('. ')}." if text.strip() else ""
