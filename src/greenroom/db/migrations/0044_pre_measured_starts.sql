-- The latest starts of a workspace: how long the launcher says that the next one takes.
CREATE INDEX sessions_started ON sessions (image_id, created DESC) WHERE started IS NOT NULL;
