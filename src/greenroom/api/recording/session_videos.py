"""The storage of session videos: encryption, hashes, and the verification.

Each video has a random key, which is stored encrypted with the installation's key. AES-GCM also authenticates the
session and the number of a segment.
"""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from greenroom.core.errors import Forbidden, Invalid, WrongState
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.session_video import chain_of, problems_of, seal_of
from greenroom.db import session_videos
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session_videos import NewSegment, OpenVideo, SessionVideo
from greenroom.kit.secrets import Secrets
from greenroom.wire.viewers import VideoSegment

NONCE_BYTES: Final = 12


async def store_segment(db: Database, secrets: Secrets, logs: LogWriter, agent_id: str, message: VideoSegment) -> None:
    """Encrypt and store a segment; one without data is lost. A repeated request only writes the event of the end again,
    because the first one may be lost. The end of a session of which nothing was recorded has no effect.

    Raises:
        Forbidden: the session does not run on this Agent, or need not be recorded.
        WrongState: the video has ended.
        Invalid: the time is not valid.
    """
    new_key = secrets.encrypt(base64.b64encode(AESGCM.generate_key(256)).decode())
    is_lost = not message.data and not message.is_last
    async with db.transaction() as connection:
        if message.data or is_lost:
            await session_videos.create_video(connection, message.session_id, agent_id, new_key)
        video = await session_videos.lock_video(connection, message.session_id, agent_id)
        if video is None and not message.data and not is_lost:
            return
        if video is None:
            raise Forbidden("This session does not run on this Agent, or it is not recorded.")
        if await session_videos.has_segment(connection, message.segment_id):
            return
        if video.ended and not message.is_last:
            raise WrongState("The video of this session has ended.")
        segments, chain = video.segments, video.chain
        if (message.data or is_lost) and not video.ended:
            segments, chain = await _append(connection, secrets, video, message)
        if message.is_last and not video.ended:
            seal = seal_of(secrets.session_video_signature, message.session_id, segments, chain)
            await session_videos.end_video(connection, message.session_id, seal)
    if message.is_last:
        logs.write(
            LogCode.SESSION_VIDEO_ENDED,
            f"The video of session {message.session_id} of {video.username} "
            + (f"has ended, and {video.lost_ms / 1000:.0f} s of it are lost" if video.lost_ms else "is complete")
            + f": {segments} segments",
            session_id=message.session_id,
            user_id=video.user_id,
            username=video.username,
            details={"segments": segments, "chain": chain.hex(), "lost_ms": video.lost_ms},
        )


async def _append(
    connection: Connection, secrets: Secrets, video: OpenVideo, message: VideoSegment
) -> tuple[int, bytes]:
    """Store the data of a segment. Return the new number of segments and the new end of the chain."""
    number = video.segments + 1
    try:
        began = datetime.fromtimestamp(message.began, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid(f"The begin of the segment is not a valid time: {error}.") from error
    nonce = os.urandom(NONCE_BYTES)
    data = nonce + _cipher(secrets, video.key_encrypted).encrypt(
        nonce, message.data, _place(message.session_id, number)
    )
    sha256 = hashlib.sha256(data).digest()
    chain = chain_of(
        secrets.session_video_signature,
        message.session_id,
        number=number,
        began=began,
        duration_ms=message.duration_ms,
        sha256=sha256,
        previous=video.chain,
    )
    await session_videos.append_segment(
        connection,
        message.session_id,
        message.segment_id,
        number=number,
        began=began,
        duration_ms=message.duration_ms,
        segment=NewSegment(data=data, sha256=sha256, chain=chain),
        is_lost=not message.data,
    )
    return number, chain


async def read_segment(db: Database, secrets: Secrets, video: SessionVideo, number: int) -> bytes:
    """Return a segment, an MP4 file. Raises NotFound: there is no such segment. Raises WrongState: it was changed."""
    data = await session_videos.read_segment_data(db, video.session_id, number)
    place = _place(video.session_id, number)
    try:
        return _cipher(secrets, video.key_encrypted).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], place)
    except (InvalidTag, ValueError) as error:
        raise WrongState(f"Segment {number} was changed after it was recorded; verify the video.") from error


async def verify(db: Database, secrets: Secrets, video: SessionVideo) -> list[str]:
    """Return what is wrong with a video, as sentences; empty if it is complete and unchanged."""
    return problems_of(
        secrets.session_video_signature,
        video.session_id,
        await session_videos.read_entries(db, video.session_id),
        segments=video.segments,
        seal=video.seal,
        is_over=video.is_over,
    )


def _cipher(secrets: Secrets, key_encrypted: bytes) -> AESGCM:
    return AESGCM(base64.b64decode(secrets.decrypt(key_encrypted)))


def _place(session_id: str, number: int) -> bytes:
    return f"{session_id}|{number}".encode()
