"""An instance laid out on disk: checked, locked, with ports, ids, certificates and programs; nothing runs yet."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError
from greenroom.kit.processes import end_all
from greenroom.up import checks, tls
from greenroom.up.account import Accounts, service_accounts
from greenroom.up.docker import runtime_name
from greenroom.up.endpoints import endpoints
from greenroom.up.first_start import ensure_files
from greenroom.up.layout import DataLock, Layout, check_folder, check_reachable, read_json, write_json
from greenroom.up.options import Options, Reservations, Settings, choose, settle, wanted
from greenroom.up.postgres import Cluster
from greenroom.up.processes import leftovers
from greenroom.up.programs import Programs, current, prepare
from greenroom.up.progress import Progress, step
from greenroom.up.roles import Site

LEFTOVERS_WITHIN_S: Final = 8.0


@asynccontextmanager
async def prepared(layout: Layout, options: Options, progress: Progress) -> AsyncGenerator[Site]:
    """Check the machine, lock DATA and lay out all files.

    Only the end of the process releases the lock: `greenroom down` waits for it.

    Raises:
        SetupError: it cannot be started as asked; a new DATA is left as it was found.
    """
    check_folder(layout)
    is_locked = layout.lock.exists()
    if is_locked:
        DataLock.take(layout)
    reservations = Reservations()
    try:
        settings = settle(options, read_json(layout.instance))
        await end_all(lambda: leftovers(layout.data), LEFTOVERS_WITHIN_S)
        with step(progress, "Checking this machine"):
            await checks.check_machine(layout, settings)
            if not reservations.take(settings.port):
                raise SetupError(f"Port {settings.port} is reserved by another instance; give another --port.")
            accounts = service_accounts()
            check_reachable(layout, accounts)
        layout.create(accounts)
        if not is_locked:
            DataLock.take(layout)
        write_json(layout.instance, {**settings.stored(), "runtime": runtime_name()}, 0o600)
        with step(progress, "Preparing the programs"):
            programs = prepare(layout.runtime, accounts)
        yield _laid_out(layout, settings, accounts, programs, reservations)
    finally:
        reservations.release()


def _laid_out(
    layout: Layout, settings: Settings, accounts: Accounts, programs: Programs, reservations: Reservations
) -> Site:
    ensure_files(layout, settings, accounts)
    names = [name for name, _ in settings.manager_names], [name for name, _ in settings.agent_names]
    ports = choose(wanted(*names), read_json(layout.ports), settings.port, reservations.take)
    write_json(layout.ports, {"main": settings.port, **ports}, 0o644)
    return _site(layout, settings, accounts, programs)


def _site(layout: Layout, settings: Settings, accounts: Accounts, programs: Programs) -> Site:
    tls.ensure_authority(layout)
    certificate = tls.ensure_certificate(layout, accounts.gateway, settings.served_hosts, datetime.now(UTC))
    given = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        given = tls.copy_given(layout, accounts.gateway, Path(settings.tls_cert), Path(settings.tls_key))
    here = endpoints(layout, settings, read_json(layout.ports))
    cluster = cluster_of(layout, programs, accounts)
    return Site(
        layout=layout,
        settings=settings,
        endpoints=here,
        programs=programs,
        accounts=accounts,
        dsn=settings.database_url or cluster.dsn,
        service_dsn=settings.database_url or cluster.service_dsn,
        certificate=certificate[0],
        certificate_key=certificate[1],
        given_certificate=given,
    )


@asynccontextmanager
async def stopped(layout: Layout) -> AsyncGenerator[Site]:
    """The site of a stopped instance, locked for the duration of the block; its remains are ended.

    Raises:
        SetupError: it runs.
    """
    lock = DataLock.take(layout)
    try:
        await end_all(lambda: leftovers(layout.data), LEFTOVERS_WITHIN_S)
        settings, accounts = settle(Options(), read_json(layout.instance)), service_accounts()
        yield _site(layout, settings, accounts, prepare(layout.runtime, accounts))
    finally:
        lock.release()


def site_of(layout: Layout) -> Site:
    """The site of an instance that was started before; changes nothing."""
    settings, accounts = settle(Options(), read_json(layout.instance)), service_accounts()
    return _site(layout, settings, accounts, current(layout.runtime))


def cluster_of(layout: Layout, programs: Programs, accounts: Accounts) -> Cluster:
    """The embedded PostgreSQL; it listens only on a unix socket, so its port is just part of a file name."""
    return Cluster(programs.postgres, layout.postgres, 5432, accounts.database, layout.sockets, accounts.services)
