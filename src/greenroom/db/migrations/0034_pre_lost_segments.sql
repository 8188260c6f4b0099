-- Segments of session videos that could not be stored: the video contains their times, and no picture.

ALTER TABLE session_videos ADD COLUMN lost_ms bigint NOT NULL DEFAULT 0;  -- the duration of the lost segments
