-- The home folders that Agents keep (core.workspace.homes). The session that gets one makes its row; what it takes is said
-- by the Agent. Its user and its workspace may be gone: the files are there all the same.
CREATE TABLE homes (
    home_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id      uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    user_id       uuid NOT NULL,
    image_id      uuid NOT NULL,
    size_bytes    bigint,               -- null = not measured yet
    measured      timestamptz,
    problem       text NOT NULL DEFAULT '',     -- why it was not measured, or is not removed yet
    last_used     timestamptz NOT NULL DEFAULT clock_timestamp(),
    removal_id    uuid,                 -- of the deletion that was asked for; null = none was
    moved_away     boolean NOT NULL DEFAULT false,       -- by that deletion: no session gets it any more
    CHECK (removal_id IS NOT NULL OR NOT moved_away)
);
CREATE UNIQUE INDEX homes_one ON homes (agent_id, user_id, image_id) WHERE NOT moved_away;
CREATE INDEX homes_of_user ON homes (user_id, image_id);
CREATE INDEX homes_to_remove ON homes (agent_id) WHERE removal_id IS NOT NULL;

-- A session is made together with the row of its home; none is while that home is being deleted. The row is the last that
-- its transaction locks after those of sessions, and a report of homes locks nothing else.
CREATE FUNCTION session_uses_home() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    removal uuid;
BEGIN
    INSERT INTO homes AS h (agent_id, user_id, image_id) VALUES (NEW.agent_id, NEW.user_id, NEW.image_id)
        ON CONFLICT (agent_id, user_id, image_id) WHERE NOT moved_away DO UPDATE SET last_used = clock_timestamp()
        RETURNING h.removal_id INTO removal;
    IF removal IS NOT NULL THEN
        RAISE EXCEPTION 'the home folder is being deleted' USING ERRCODE = 'unique_violation', CONSTRAINT = 'homes_one';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER session_uses_home AFTER INSERT ON sessions FOR EACH ROW
    WHEN (NEW.profile_path LIKE '/{homes}/%' AND NEW.agent_id IS NOT NULL AND NEW.user_id IS NOT NULL)
    EXECUTE FUNCTION session_uses_home();
