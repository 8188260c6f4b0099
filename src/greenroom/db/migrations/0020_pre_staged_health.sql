-- A staged session that stopped working: when it did, so that a pool whose sessions break again and again backs off.
ALTER TABLE sessions ADD COLUMN broke timestamptz;
CREATE INDEX sessions_broken ON sessions (staging_config_id, broke) WHERE broke IS NOT NULL;

-- A session that ever was a user's is never in a pool again, whatever statement is made (I4 of `greenroom doctor`).
-- NOT VALID: rows are looked at when they are written, not all at once while the table is locked.
ALTER TABLE sessions ADD CONSTRAINT sessions_staged_was_nobodys CHECK (NOT (status = 'running' AND user_id IS NULL
    AND staging_config_id IS NOT NULL AND NOT retired AND assigned IS NOT NULL)) NOT VALID;
