-- The life of a session: its clocks, why it rests, and the start that is tried once more on another Agent.

ALTER TABLE sessions
    ADD COLUMN time_limit_ends timestamptz,                 -- when the session is deleted in any case; null = never
    ADD COLUMN expiry          jsonb NOT NULL DEFAULT '{}', -- core.expiry.Clocks as of the last keepalive
    ADD COLUMN stopped_reason  text,                        -- why it is stopped or paused
    ADD COLUMN gave_up         boolean NOT NULL DEFAULT false;  -- it failed, and nothing takes its place

-- What failed before this version is not tried again.
UPDATE sessions SET gave_up = true WHERE status = 'failed' AND set_aside_reason IS NULL;

-- A user waits for another session: the hand-over of this one failed, or it could not start.
ALTER TABLE sessions
    ADD COLUMN awaits_successor boolean GENERATED ALWAYS AS (status = 'failed' AND user_id IS NOT NULL
        AND superseded_by IS NULL AND NOT gave_up AND (set_aside_reason IS NOT NULL OR started IS NULL)) STORED;
CREATE INDEX sessions_awaiting_successor ON sessions (zone_id) WHERE awaits_successor;

-- The last log lines of a container that runs and does not become usable.
ALTER TABLE session_observed ADD COLUMN log_tail text NOT NULL DEFAULT '';
