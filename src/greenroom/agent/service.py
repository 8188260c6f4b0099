"""The Agent as a process: wires its parts and runs them."""

from __future__ import annotations

from dataclasses import dataclass

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
from greenroom.kit.serving import Loop


@dataclass(frozen=True, slots=True)
class Agent:
    """The parts of one Agent."""

    settings: config.AgentConfig
    identity: Identity
    journal: Journal
    sessions: Sessions
    health: Health
    link: Link
    host: HostWork
    check_in: CheckInLoop

    @property
    def loops(self) -> list[tuple[str, Loop]]:
        """What has to run, by name."""
        return [
            ("check-in", self.check_in.poll),
            ("speak", self.check_in.speak),
            ("host", self.host.run),
            ("journal", self.journal.keep_small),
        ]

    async def close(self) -> None:
        """Let go of connections and files."""
        await self.link.close()
        self.journal.close()
        self.identity.close()


def build(settings: config.AgentConfig) -> Agent:
    """Wire the parts together.

    Raises:
        SetupError: the folder, the journal or the certificate authority cannot be used.
    """
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
    return Agent(settings, identity, journal, sessions, health, link, host, check_in)


async def main() -> None:
    """Run the Agent of this host until it is told to stop. Its sessions run on.

    Raises:
        SetupError: its settings, folder, journal or certificate authority cannot be used.
    """
    settings = config.load(config.AgentConfig)
    log.configure(settings.log_level, settings.process_name)
    await stops.serve(settings.stop_dir, settings.process_name)
    agent = build(settings)
    try:
        await serving.serve(app.build(agent.health), settings.agent_host, settings.agent_port, agent.loops)
    finally:
        await agent.close()
