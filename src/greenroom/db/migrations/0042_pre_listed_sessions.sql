-- Lists of sessions, newest first: a page is read from the index, however many there are. Orders by names of other tables
-- sort the sessions that are shown.
CREATE INDEX sessions_shown ON sessions (created, session_id) WHERE status <> 'deleted' AND superseded_by IS NULL;
