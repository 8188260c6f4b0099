-- Screenshots travel as commands do. One row per session: whoever asks meanwhile gets the same picture.
ALTER TABLE session_commands
    ADD COLUMN screenshot jsonb,        -- {"width", "height"} the picture fits into; null = a command
    ADD COLUMN picture    bytea;        -- JPEG
CREATE UNIQUE INDEX session_commands_one_screenshot ON session_commands (session_id) WHERE screenshot IS NOT NULL;
CREATE INDEX session_commands_finished ON session_commands (finished) WHERE finished IS NOT NULL;

-- What Diagnostics filters by.
CREATE INDEX logs_session ON logs (session_id, log_id) WHERE session_id IS NOT NULL;
CREATE INDEX logs_code ON logs (code, log_id);

-- The ledger is cleaned up by age.
CREATE INDEX launches_at ON launches (at);
