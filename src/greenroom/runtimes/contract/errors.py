"""What a runtime may raise; all below `GreenroomError`, so that their sentence can be shown to people.

RuntimeUnavailable      the runtime does not answer; nothing is known about the effect of the call: look again
ContainerMissing        there is no container for this session
ContainerConflict       a container with the session's name exists and is not this session, or not with this spec
ImageMissing            the image is not on this host
StartError              the runtime refused to create, start or change the container; the sentence is its reason
PullError               an image could not be fetched
DiskCountError          what a session has written is too much to be counted
ScreenshotError         no picture of the session's screen could be taken
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
    """A container with the name of this session exists, and Greenroom did not make it for this session."""

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


class DiskCountError(GreenroomError):
    """What the session has written could not be counted in time."""

    code = "disk-not-counted"


class ScreenshotError(GreenroomError):
    """No picture of the session's screen could be taken."""

    code = "screenshot-failed"
