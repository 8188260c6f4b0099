"""Why a program's request is not carried out: a status, and a sentence for people."""

import asyncio
import errno
import json

from answers import BadRequestError, reply
from uploads import LAST, UploadError, let_go

STATUSES = {
    errno.ENOENT: "404 Not Found",
    errno.ENOTDIR: "409 Conflict",
    errno.EISDIR: "409 Conflict",
    errno.EEXIST: "409 Conflict",
    errno.ENOTEMPTY: "409 Conflict",
    errno.EACCES: "403 Forbidden",
    errno.EPERM: "403 Forbidden",
    errno.EROFS: "403 Forbidden",
    errno.ENAMETOOLONG: "400 Bad Request",
    errno.ELOOP: "400 Bad Request",
    errno.EINVAL: "400 Bad Request",
    errno.E2BIG: "413 Content Too Large",
    errno.ENOSPC: "507 Insufficient Storage",
    errno.EDQUOT: "507 Insufficient Storage",
}
"""What the system refuses; all else is a failure of this end."""


class RefusedError(Exception):
    """Status and sentence for a request that is not carried out."""


def refused(error: Exception) -> tuple[str, str]:
    """Status and sentence."""
    if isinstance(error, (RefusedError, UploadError)):
        return error.args[0], error.args[1]
    if isinstance(error, OSError):
        named = f" ({error.filename})" if isinstance(error.filename, str) else ""
        return STATUSES.get(error.errno, "500 Internal Server Error"), f"{error.strerror or error}{named}."
    return "400 Bad Request", f"{error}."


async def refuse(
    error: Exception, writer: asyncio.StreamWriter, sender: asyncio.StreamReader | None = None
) -> None:
    """Say why not; to a `sender`, too, who may not have sent all of it yet."""
    if isinstance(error, (ConnectionError, EOFError, TimeoutError, BadRequestError)):
        raise error
    if sender:
        await let_go(sender)
    status, sentence = refused(error)
    reply(writer, status, json.dumps({"error_message": sentence}).encode(), "application/json", LAST)
