-- Session videos: recordings of the screens of people's sessions (docs/howto/record-sessions.md).

ALTER TABLE images ADD COLUMN record_sessions boolean NOT NULL DEFAULT false;  -- all sessions of the workspace are recorded

-- A video remains after its session, its user, its workspace and its Agent are deleted.
CREATE TABLE session_videos (
    session_id          uuid PRIMARY KEY,
    user_id             uuid REFERENCES users ON DELETE SET NULL,
    username            text NOT NULL,
    image_id            uuid,
    image_friendly_name text NOT NULL,
    zone_name           text NOT NULL,
    agent_id            uuid NOT NULL,              -- the Agent that sends the segments
    key_encrypted       bytea NOT NULL,             -- the key of the segments
    begun               timestamptz NOT NULL,       -- the begin of the first segment
    latest              timestamptz NOT NULL,       -- the end of the last segment
    ended               timestamptz,                -- the Agent reported the end; null = the session runs, or the end is missing
    seal                bytea,                      -- the signature of the end
    segments            integer NOT NULL DEFAULT 0,
    duration_ms         bigint NOT NULL DEFAULT 0,
    size_bytes          bigint NOT NULL DEFAULT 0,
    chain               bytea NOT NULL DEFAULT '',  -- that of the last segment
    CHECK ((ended IS NULL) = (seal IS NULL))
);
CREATE INDEX session_videos_begun ON session_videos (begun, session_id);
CREATE INDEX session_videos_latest ON session_videos (latest);
CREATE INDEX session_videos_user ON session_videos (user_id, begun) WHERE user_id IS NOT NULL;

CREATE TABLE session_video_segments (
    session_id  uuid NOT NULL REFERENCES session_videos ON DELETE CASCADE,
    number      integer NOT NULL,           -- from 1
    segment_id  uuid NOT NULL UNIQUE,       -- chosen by the Agent, so that a repeated request stores nothing
    began       timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    sha256      bytea NOT NULL,             -- of data
    chain       bytea NOT NULL,             -- keyed hash of this and all earlier segments
    data        bytea NOT NULL,             -- nonce and MP4, encrypted with AES-GCM
    PRIMARY KEY (session_id, number)
);
ALTER TABLE session_video_segments ALTER COLUMN data SET STORAGE EXTERNAL;
