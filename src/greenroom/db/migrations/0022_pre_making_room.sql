-- Whose launch was refused in a zone for want of room: for some seconds its pools leave the room that comes free to him.
-- `since` is the first of several refusals that followed each other closely.
CREATE TABLE launches_waiting (
    zone_id  uuid NOT NULL REFERENCES zones ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    image_id uuid NOT NULL REFERENCES images ON DELETE CASCADE,
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (zone_id, user_id, image_id)
);

-- On which Agents a staged session could not be started lately: others are tried first.
CREATE INDEX sessions_failed_starts ON sessions (staging_config_id, created)
    WHERE user_id IS NULL AND started IS NULL AND error IS NOT NULL;
