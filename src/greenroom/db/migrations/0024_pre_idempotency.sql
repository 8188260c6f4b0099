-- The same rule as a partial index. Columns of a complete one count as a key of the row: each claim, which sets the user,
-- would meet the foreign keys of steps and observations, and a session of which an Agent just reports was passed by.
ALTER TABLE sessions DROP CONSTRAINT sessions_idempotency_unique;
CREATE UNIQUE INDEX sessions_idempotency_unique ON sessions (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
