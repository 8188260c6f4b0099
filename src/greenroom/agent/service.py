"""The Agent as a process: wires its parts and runs them."""

from __future__ import annotations

from greenroom.agent import app
from greenroom.agent.health import Health
from greenroom.agent.identity import Identity
from greenroom.agent.journal import Journal
from greenroom.agent.sessions import Sessions
from greenroom.kit import config, log, serving, stops


async def main() -> None:
    """Run the Agent of this host until it is told to stop.

    Raises:
        SetupError: its settings, folder or journal cannot be used.
    """
    settings = config.load(config.AgentConfig)
    log.configure(settings.log_level, settings.process_name)
    await stops.serve(settings.stop_dir, settings.process_name)
    identity = Identity.load(settings.agent_dir)
    journal = Journal(settings.agent_dir / "journal.jsonl")
    journal.open()
    sessions = Sessions(journal)
    del identity, sessions
    await serving.serve(app.build(Health()), settings.agent_host, settings.agent_port)
