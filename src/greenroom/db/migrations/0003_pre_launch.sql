-- Files that are put into a session's container before it starts (core.sessions.File), as encrypted JSON; null = none.
ALTER TABLE sessions ADD COLUMN files_encrypted bytea;
