"""The Agent as a process: wires its parts and runs them."""

from __future__ import annotations

from greenroom.agent import app
from greenroom.agent.checkin import CheckInLoop
from greenroom.agent.health import Health
from greenroom.agent.host import HostWork
from greenroom.agent.identity import Identity
from greenroom.agent.journal import Journal
from greenroom.agent.link import Link
from greenroom.agent.managers import Managers
from greenroom.agent.sessions import Sessions
from greenroom.kit import config, log, serving, stops


async def main() -> None:
    """Run the Agent of this host until it is told to stop. Its sessions run on.

    Raises:
        SetupError: its settings, folder, journal or certificate authority cannot be used.
    """
    settings = config.load(config.AgentConfig)
    log.configure(settings.log_level, settings.process_name)
    await stops.serve(settings.stop_dir, settings.process_name)
    identity = Identity.load(settings.agent_dir)
    journal = Journal(settings.agent_dir / "journal.jsonl")
    journal.open()
    sessions, health = Sessions(journal), Health()
    managers = Managers(url.strip() for url in settings.manager_urls.split(",") if url.strip())
    link = Link(managers, settings.ca_file)
    host = HostWork(config=settings, identity=identity, sessions=sessions, journal=journal, health=health)
    check_in = CheckInLoop(
        identity=identity,
        sessions=sessions,
        link=link,
        host=host,
        health=health,
        join_token_file=settings.join_token_file,
    )
    loops = [
        ("check-in", check_in.poll),
        ("speak", check_in.speak),
        ("host", host.run),
        ("journal", journal.keep_small),
    ]
    try:
        await serving.serve(app.build(health), settings.agent_host, settings.agent_port, loops)
    finally:
        await link.close()
        journal.close()
