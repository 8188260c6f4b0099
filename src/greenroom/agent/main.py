"""The process of the Agent, which creates the parts of the Agent and runs their loops."""

from __future__ import annotations

from functools import partial

from starlette.applications import Starlette

from greenroom.agent import app, replica
from greenroom.agent.app import AgentHealth, AgentMetrics
from greenroom.agent.copying import ImageSender
from greenroom.agent.fleet.checkin import CheckInLoop
from greenroom.agent.fleet.edge_files import EdgeFiles
from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerFailover
from greenroom.agent.host import HostServices
from greenroom.agent.replica import ReplicaGroup
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.prober import VALID_INTERVALS
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.video import SessionVideos
from greenroom.agent.stream.admission import Pages, UpstreamAuth
from greenroom.agent.stream.authorizer import StreamAuthorizer
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.session_cache import SessionCache
from greenroom.agent.stream.viewers import StreamEvents
from greenroom.core.log_codes import LogCode
from greenroom.kit import config, environment, serving, stops
from greenroom.kit.serving import Loop
from greenroom.kit.starts import StartLog
from greenroom.kit.tcp import StreamTerminator
from greenroom.runtimes.contract import PROBE_TIMEOUT_S
from greenroom.runtimes.registry import find_runtime


class Agent:
    """The parts of one Agent. `group` contains the records that this process shares with other replicas of the Agent;
    None = there are no replicas, so that this process itself listens for gateways.

    Raises SetupError: the folder, the journal or the certificate authority cannot be used. Raises Invalid: the edge
    address is not valid.
    """

    def __init__(self, settings: config.AgentConfig, group: ReplicaGroup | None = None) -> None:
        self._settings = settings
        self._is_alone = group is None
        self.identity = identity = AgentIdentity.load(
            settings.agent_dir, *((group.place_id, group.name) if group else ())
        )
        identity.share = group.identity.write if group else None
        self.journal = Journal(settings.agent_dir / "journal.jsonl", group.journal.write if group else None)
        self.journal.open()
        self.sessions = sessions = Sessions(
            self.journal, VALID_INTERVALS * (settings.probe_interval_s + PROBE_TIMEOUT_S)
        )
        self.session_cache = SessionCache(
            sessions, settings.agent_dir, share=group.store_gateway_data if group else None
        )
        self.health = health = AgentHealth(last_fresh=self.session_cache.last_fresh)
        managers = ManagerFailover(url.strip() for url in settings.manager_urls.split(",") if url.strip())
        self.metrics = metrics = AgentMetrics()
        self.manager_client = ManagerClient(
            managers, settings.ca_file, lambda kind: metrics.failovers.labels(kind).inc()
        )
        metrics.add_dropped_log_rows(lambda: sessions.outbox.log_lines_dropped)
        self.host = host = HostServices(
            config=settings,
            identity=identity,
            manager_client=self.manager_client,
            sessions=sessions,
            journal=self.journal,
            health=health,
            metrics=metrics,
            fence=group.fence if group else lambda: None,
            streams_closed=self._streams_closed,
        )
        self.check_in = CheckInLoop(
            identity=identity,
            sessions=sessions,
            manager_client=self.manager_client,
            host=host,
            health=health,
            metrics=metrics,
            join_token_file=settings.join_token_file,
            edge_url=settings.edge_url,
            read_shared_identity=group.identity.read if group else None,
        )
        self.stream_terminator = StreamTerminator()
        self._upstream_auth = UpstreamAuth(settings.ca_file, settings.gateway_address)
        self._pages = Pages()
        self.session_videos = SessionVideos(
            *(sessions, identity, self._upstream_auth, lambda: host.runtime),
            lambda outcome: metrics.video_segments.labels(outcome).inc(),
        )
        self.streams = self._authorizer(group)
        sessions.desired.changed.subscribe(self.session_cache.list_changed)
        if group is not None:
            sessions.desired.changed.subscribe(lambda change: group.on_list_known() if change.is_first else None)
        self.session_cache.authorised_changed.subscribe(self.streams.authorised_changed)
        sessions.handed_over.subscribe(self.streams.handed_over)
        sessions.recording_began.subscribe(self.streams.handed_over)
        sessions.viewers_refused.subscribe(self.streams.authorised_changed)
        self.image_sender = ImageSender(lambda: host.runtime, identity, self.manager_client)
        self.edge = self._edge(group) if settings.edge_url else None

    async def _streams_closed(self, session_id: str) -> None:
        await self.streams.closed(session_id)

    def _authorizer(self, group: ReplicaGroup | None) -> StreamAuthorizer:
        log_line = self.sessions.outbox.log_line
        return StreamAuthorizer(
            self.session_cache,
            self.identity,
            self._upstream_auth,
            self.stream_terminator,
            self._settings.agent_dir,
            pages=self._pages,
            gateways=Gateways(
                self.identity,
                self.session_cache,
                acting=lambda: self.has_desired_list,
                replicas=lambda: [group.address] if group and group.address else [],
            ),
            events=StreamEvents(
                refused=lambda sentence, session_id: log_line(LogCode.STREAM_REFUSED, sentence, session_id),
                opened=partial(log_line, LogCode.STREAM_OPENED),
                closed=partial(log_line, LogCode.STREAM_CLOSED),
                decided=lambda outcome: self.metrics.stream_decisions.labels(outcome).inc(),
            ),
            last_fresh=lambda: self.health.last_fresh,
        )

    def _edge(self, group: ReplicaGroup | None) -> EdgeFiles:
        """Return the writer of the files of the edge gateway on this host."""
        folder = self._settings.edge_dir or self._settings.agent_dir / "edge"
        share = group.edge.write if group else None
        return EdgeFiles(folder, self._settings.edge_url, self.identity, self.manager_client, share=share)

    @property
    def loops(self) -> list[tuple[str, Loop]]:
        edge = [("edge", self.edge.run)] if self.edge is not None else []
        return [
            *edge,
            ("check-in", self.check_in.poll),
            ("report", self.check_in.report),
            ("host", self.host.run),
            ("journal", self.journal.compact_at_intervals),
            ("visits", self.streams.visit_log.run),
            ("guests", self.streams.guest_presence.run),
            ("session videos", self.session_videos.run),
            *(self._gateway_listener() if self._is_alone else [("shared journal", self.journal.share_changes)]),
            ("session cache", lambda: self.session_cache.run(lambda: self.health.last_fresh)),
        ]

    def _gateway_listener(self) -> list[tuple[str, Loop]]:
        address = self._settings.stream_address()
        if address is None:
            return []
        protected_app = app.RequireSecret(self.gateway_app, address.secret)
        return [("gateways", partial(serving.serve_until_cancelled, protected_app, address.host, address.port))]

    def log_loop_failure(self, sentence: str) -> None:
        """Add a log row about the failure of a loop."""
        self.sessions.outbox.log_line(LogCode.LOOP_FAILED, sentence)

    @property
    def gateway_app(self) -> Starlette:
        return app.gateway_app(self.health, [*self.streams.routes, *self.streams.gateways.routes])

    @property
    def has_desired_list(self) -> bool:
        """True if this Agent has received its desired list."""
        return self.sessions.desired.is_known

    async def prepare(self) -> None:
        await self.stream_terminator.probe()

    @property
    def app(self) -> Starlette:
        return app.local_app(
            self.health,
            lambda: self.metrics.text_with_states(self.sessions.states()),
            [*self.streams.routes, *self.image_sender.routes],
        )

    async def close(self) -> None:
        await self.manager_client.close()
        await self._upstream_auth.close()
        await self._pages.close()
        await self.session_videos.close()
        self.journal.close()
        self.identity.close()


async def main() -> None:
    """Run the Agent of this host until it is stopped. Its sessions keep running. Raises SetupError: its settings,
    folder, journal or certificate authority cannot be used, or its runtime is not installed."""
    settings = environment.configure_role(config.AgentConfig)
    runtime = find_runtime(settings.runtime)
    await stops.serve_commands(settings.stop_dir, settings.process_name)
    if settings.agent_group:
        await replica.run(settings, runtime.replica_store(settings.agent_group, settings.agent_dir), Agent)
        return
    agent = Agent(settings)
    starts = StartLog(settings.agent_dir)
    agent.health.crash_loop = lambda: starts.crash_loop
    await agent.prepare()
    try:
        with starts.record_start():
            await serving.serve(
                agent.app, settings.agent_host, settings.agent_port, agent.loops, on_failure=agent.log_loop_failure
            )
    finally:
        await agent.close()
