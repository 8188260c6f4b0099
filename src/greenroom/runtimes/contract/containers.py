"""The containers of sessions: their creation, start, inspection and removal; and the errors of a runtime.

The errors are subclasses of `GreenroomError`, so that their sentence can be shown to users. After `RuntimeUnavailable`
the effect of the call is not known: read the state again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from greenroom.core.errors import GreenroomError, NotFound, Refused, Unavailable
from greenroom.core.session.reconcile import ObservedContainer
from greenroom.core.workspace.session_spec import Exec, SessionFile, SessionSpec

PROBE_TIMEOUT_S: Final = 5.0

INSTALLATION: Final = "greenroom.installation"
SESSION: Final = "greenroom.session"
AGENT: Final = "greenroom.agent"
SPEC_HASH: Final = "greenroom.spec-hash"
"""The labels of every container, by which the runtime finds it. Containers without these labels are never changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(ObservedContainer):
    """One container of this installation. `agent_id` is the Agent that created it; a host may have several Agents.

    `address` is host:port at which this host reaches the session's page, only while `state` is running; it may change
    with every start. `services` maps the name of each allowed service to its host:port, also only while running. While
    `state` is exited, `exit_code` is the exit code; None = not known. `ended` is then the reason for the end, as a
    sentence; empty if the first process ended by itself. `spec_hash` is `SessionSpec.hash()` at creation.
    """

    agent_id: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """The result of a command. `exit_code` is None if the command still ran at its deadline; it continues to run.

    The exit codes 126 and 127 mean that the program could not be run or was not found. `output` is stdout and stderr,
    shortened by `cut_output`. `output_complete` is false if more output may follow: the command still runs, a child
    process has its stdout or stderr open, or the runtime delivered the output too late.
    """

    exit_code: int | None
    output: str
    output_complete: bool = True

    @property
    def output_end(self) -> str:
        """The end of the output, for an error message."""
        return self.output.strip()[-MAX_OUTPUT_END_CHARACTERS:] or "(it wrote nothing)"


MAX_OUTPUT_END_CHARACTERS: Final = 500
MAX_OUTPUT_CHARACTERS: Final = 60_000
MAX_LOG_CHARACTERS: Final = 8_000
"""The limit of `Containers.logs`. If many sessions end at the same time, one check-in contains all their logs."""
CUT_NOTICE: Final = "[the beginning of the output was cut off]\n"


def cut_output(output: str, max_characters: int = MAX_OUTPUT_CHARACTERS) -> str:
    """Return the end of an output, of at most `max_characters`. If the output was longer, `CUT_NOTICE` is its first
    line."""
    return output if len(output) <= max_characters else CUT_NOTICE + output[len(CUT_NOTICE) - max_characters :]


EventKind = Literal["create", "start", "die", "oom", "pause", "unpause", "destroy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """An event of a container of this installation. After an event, read the state of the container again."""

    session_id: str
    kind: EventKind
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of a probe.

    `usable`: the page accepted the credential and, if its frames can be read, shows a first frame. `painted`: it shows
    a first frame; None = the frames of this image cannot be read. `error`: the reason why the page is not usable, as a
    sentence. `timed_out`: the page did not answer in time.
    """

    usable: bool
    painted: bool | None = None
    error: str = ""
    timed_out: bool = False


class Containers(Protocol):
    """The containers of one Agent's sessions. Containers without the labels of this installation are never listed,
    changed or removed."""

    async def create(
        self,
        session_id: str,
        spec: SessionSpec,
        labels: Mapping[str, str] | None = None,
        *,
        low_cpu_share: bool = False,
    ) -> Container:
        """Create the session's container without starting it; `labels` are added to those of the runtime. With
        `low_cpu_share` it has a small share of a busy CPU until `give_full_cpu_share` is called.

        A session under a web filter policy gets only the network of this policy (`FilterHost.open_filter_network`).

        If the session already has a container of this installation with the hash of this spec, the call returns this
        container in its current state, with its original labels.

        Raises:
            ContainerConflict: another container (with another spec, of another installation or without labels) has the
                name of the session's container.
            ImageMissing: `spec.image` is not on this host; this call pulls no image.
            StartError: the runtime refuses this specification, or the network of its web filter is not open.
        """
        ...

    async def give_full_cpu_share(self, session_id: str, spec: SessionSpec) -> None:
        """Set the CPU share that `spec` defines. Raises ContainerMissing: the container does not exist."""
        ...

    async def put_files(self, session_id: str, files: Sequence[SessionFile]) -> None:
        """Write files into the container, also before its first start. Existing files are replaced. A file below a
        mounted folder is written into that folder.

        Raises:
            ContainerMissing: it does not exist.
            StartError: the runtime could not write the files, e.g. into a folder that is mounted read-only.
        """
        ...

    async def start(self, session_id: str) -> Container:
        """Start the container, also after a stop or an exit, and return it with its address.

        Raises:
            ContainerMissing: it was not created.
            StartError: the runtime could not start it, or the network of its web filter is not open.
        """
        ...

    async def stop(self, session_id: str, grace_s: float = 10.0) -> None:
        """Request the end of the container, which may be paused, and kill it after `grace_s`. Its files stay. Raises
        ContainerMissing: the container does not exist."""
        ...

    async def pause(self, session_id: str) -> None:
        """Freeze all processes of the container; it keeps its memory.

        Raises:
            ContainerMissing: it does not exist.
            StartError: it is not running.
        """
        ...

    async def unpause(self, session_id: str) -> None:
        """Resume a paused container.

        Raises:
            ContainerMissing: it does not exist.
            StartError: it is neither paused nor running.
        """
        ...

    async def remove(self, session_id: str) -> None:
        """Kill the container and delete it with its anonymous volumes. If it does not exist, the call succeeds. Raises
        ContainerConflict: the container with this name does not belong to this installation; it is not removed."""
        ...

    async def list(self) -> list[Container]:
        """Return all containers of this installation, of every Agent (`Container.agent_id`), in any state."""
        ...

    async def inspect(self, session_id: str) -> Container | None:
        """Return the session's container, or None if this installation has none."""
        ...

    async def exec(self, session_id: str, command: Exec) -> ExecResult:
        """Run a command in the container and wait until it ends or `command.deadline_s` has passed.

        The session's credential is not in the command's environment.

        Raises:
            ContainerMissing: the container does not exist.
            StartError: the container is not running.
        """
        ...

    async def logs(self, session_id: str, lines: int = 50) -> str:
        """Return the last `lines` of the output of the container's first process, at most `MAX_LOG_CHARACTERS`; empty
        if the container is missing.
        """
        ...

    def events(self) -> AsyncIterator[ContainerEvent]:
        """Return the events of this installation's containers from this call on. Events may be lost, and the iterator
        may end. Raises RuntimeUnavailable: the connection was lost; call it again after a pause."""
        ...

    async def probe(
        self, address: str, spec: SessionSpec, timeout_s: float = PROBE_TIMEOUT_S, *, keep_connection: bool = False
    ) -> ProbeResult:
        """Connect to the session's page as a viewer does. This call raises no error and takes at most `timeout_s`.

        `keep_connection`: the connection may stay open for the next probe, which is then faster. It must be false for
        sessions with a user, because a user could send data to this process over an open connection.
        """
        ...

    async def screenshot(self, address: str, spec: SessionSpec, width: int, height: int) -> bytes:
        """Return the session's screen without the pointer, as a JPEG that fits into width x height pixels. A smaller
        screen is not enlarged.

        Takes at most `PROBE_TIMEOUT_S` plus the time to scale the image; viewers of the session are not affected.
        Raises ScreenshotError: the page does not answer, or the screen of its image cannot be read.
        """
        ...


# Errors ---------------------------------------------------------------------------------------------------------------


class RuntimeUnavailable(Unavailable, code="runtime-unavailable"):
    """The container runtime of this host does not answer; see its log on the host."""


class ContainerMissing(NotFound, code="container-missing"):
    """There is no container for this session on this host; launch another session."""


class ContainerConflict(Refused, code="container-conflict"):
    """A container with the name of this session exists, but does not belong to it; remove that container by hand."""


class ImageMissing(NotFound, code="image-missing"):
    """The image is not on this host; check its name, and whether the host can pull it."""


class StartError(GreenroomError, code="start-failed"):
    """The container could not be started."""


class PullError(GreenroomError, code="pull-failed"):
    """The image could not be fetched."""


class BuildError(GreenroomError, code="build-failed"):
    """The image could not be built."""


class DiskCountError(GreenroomError, code="disk-not-counted"):
    """The data that the session has written could not be counted in time."""


class ScreenshotError(GreenroomError, code="screenshot-failed"):
    """No picture of the session's screen could be taken."""


class HomeError(GreenroomError, code="home-failed"):
    """A home folder could not be measured, or not removed completely."""


class HomeInUseError(HomeError, code="home-in-use"):
    """A container uses the home folder."""
