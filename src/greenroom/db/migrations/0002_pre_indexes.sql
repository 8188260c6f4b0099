-- A hand-over that failed counts the sessions of its launch; a session that is forgotten takes its commands with it.
CREATE INDEX sessions_launch ON sessions (launch_id) WHERE launch_id IS NOT NULL;
CREATE INDEX session_commands_session ON session_commands (session_id);
