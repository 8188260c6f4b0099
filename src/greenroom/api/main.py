"""The process `greenroom api`: its parts and its loops. It starts and runs while the database is unreachable."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

from greenroom.api.app import create_app
from greenroom.api.catalogue.lists import refresh_lists_periodically
from greenroom.api.diagnostics.syslog import SyslogDelivery
from greenroom.api.events import EventHub
from greenroom.api.installation import SettingsSnapshot, clean_up_periodically, watch_unattended_pools
from greenroom.api.lease.control import ControlParts, end_control
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.core.errors import Unavailable
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.restarts import with_subject
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit_recovery import watch_operations
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.notifications import Listener
from greenroom.db.stored_version import check_database, watch_database
from greenroom.kit import config as kit_config
from greenroom.kit import environment, plugins, stops
from greenroom.kit.secrets import Secrets
from greenroom.kit.serving import Loop, serve
from greenroom.kit.starts import StartLog


async def main() -> None:
    """Run the api until SIGTERM.

    Raises:
        SetupError: the settings or the installation's key cannot be used, the api cannot listen on its address, or a
            connection pooler is in front of the database, or this version may not use the database.
        LoopEndedError: as the last two reasons, and the database was unreachable at the start.
    """
    config = environment.configure_role(kit_config.ApiConfig)
    await stops.serve_commands(config.stop_dir, config.process_name)
    starts = StartLog(config.api_dir)
    with starts.record_start():
        await _run(config, starts)


async def _run(config: kit_config.ApiConfig, starts: StartLog) -> None:
    secrets = Secrets.from_file(config.secret_key_file)
    database_checks: list[tuple[str, Loop]] = []
    try:
        await check_database(config.database_url)
    except Unavailable:
        database_checks = [("check of the database", lambda: watch_database(config.database_url))]
    db = Database(config.database_url, application_name="greenroom api", max_size=16)
    logs = LogWriter(db, "api")
    if crash_loop := starts.crash_loop:
        logs.write(LogCode.CRASH_LOOPING, with_subject("The api", crash_loop))
    app = create_app(config, db, secrets, logs)
    state = app.state
    control_parts = ControlParts(db, logs, secrets, state.hub, state.desks, state.snapshot.installation.control_away_s)
    listener = events_listener(config, state.hub, state.snapshot, state.delivery_worker)
    await db.open()
    try:
        await serve(
            app,
            config.api_host,
            config.api_port,
            [
                ("logs", logs.run),
                ("audit", state.audit.run),
                ("audit operations", lambda: watch_operations(db, secrets, state.audit.operations)),
                ("listener", listener.run),
                ("settings", state.snapshot.run),
                ("refusals", state.refusals.run),
                ("housekeeping", lambda: clean_up_periodically(db, state.snapshot, logs)),
                ("catalogues", lambda: refresh_lists_periodically(db, state.snapshot)),
                ("control of leases", lambda: end_control(control_parts)),
                ("webhooks", state.delivery_worker.run),
                ("unattended pools", lambda: watch_unattended_pools(db, logs)),
                *syslog_loops(config, db, logs),
                *((name, partial(loop, state)) for name, loop in plugins.api_loops().items()),
                *database_checks,
            ],
            on_stop=state.hub.close,
            on_failure=partial(logs.write, LogCode.LOOP_FAILED),
        )
    finally:
        await state.recorder.close()
        await state.desks.close()
        await db.close()


def syslog_loops(config: kit_config.ApiConfig, db: Database, logs: LogWriter) -> list[tuple[str, Loop]]:
    """Return the loop that delivers the audit, if a syslog server is configured."""
    if not config.audit_syslog:
        return []
    hostname = urlsplit(config.public_url).hostname or "-"
    delivery = SyslogDelivery(db, logs, config.audit_syslog, config.audit_syslog_ca_file, hostname)
    return [("audit delivery", delivery.run)]


def events_listener(
    config: kit_config.ApiConfig, hub: EventHub, snapshot: SettingsSnapshot, delivery_worker: DeliveryWorker
) -> Listener:
    """Return the listener of this process.

    Every event goes to the hub. Changed settings are read again, and messages of webhooks are delivered.
    """

    def received(event: ChangeEvent) -> None:
        if event.topic is Topic.SETTINGS:
            snapshot.request_reload()
        if event.topic is Topic.WEBHOOKS:
            delivery_worker.wake()
        # Without `session_id`, all waiting events of an Agent are equal, and the hub keeps only one.
        hub.publish(ChangeEvent(event.topic, event.id))

    def connected() -> None:
        snapshot.request_reload()
        delivery_worker.wake()
        hub.resync()

    return Listener(
        config.database_url,
        application_name="greenroom api listener",
        on_event=received,
        on_connect=connected,
    )
