"""The errors of a runtime, all subclasses of `GreenroomError`, so that their sentence can be shown to users.

After `RuntimeUnavailable` the effect of the call is not known: read the state again.
"""

from __future__ import annotations

from greenroom.core.errors import GreenroomError, NotFound, Refused, Unavailable


class RuntimeUnavailable(Unavailable):
    """The container runtime of this host does not answer; see its log on the host."""

    code = "runtime-unavailable"


class ContainerMissing(NotFound):
    """There is no container for this session on this host."""

    code = "container-missing"


class ContainerConflict(Refused):
    """A container with the name of this session exists, but Greenroom did not create it for this session."""

    code = "container-conflict"


class ImageMissing(NotFound):
    """The image is not on this host."""

    code = "image-missing"


class StartError(GreenroomError):
    """The container could not be started."""

    code = "start-failed"


class PullError(GreenroomError):
    """The image could not be fetched."""

    code = "pull-failed"


class BuildError(GreenroomError):
    """The image could not be built."""

    code = "build-failed"


class DiskCountError(GreenroomError):
    """The data that the session has written could not be counted in time."""

    code = "disk-not-counted"


class ScreenshotError(GreenroomError):
    """No picture of the session's screen could be taken."""

    code = "screenshot-failed"


class HomeError(GreenroomError):
    """A home folder could not be measured, or not removed completely."""

    code = "home-failed"


class HomeInUseError(HomeError):
    """A container uses the home folder."""

    code = "home-in-use"
