-- What administrators note about a workspace, and whether it is never filtered, whatever the groups of a user say.
ALTER TABLE images
    ADD COLUMN notes                        text NOT NULL DEFAULT '',
    ADD COLUMN filter_policy_force_disabled boolean NOT NULL DEFAULT false;

-- The profile folder that a session has as its home, and how (Enabled or Reset); null = none. One session at a time: two
-- desktops that write the same settings and browser profile destroy them. `deleting` does not count: its container is
-- being killed.
ALTER TABLE sessions
    ADD COLUMN profile_path            text GENERATED ALWAYS AS
        (jsonb_path_query_first(spec, '$.mounts[*] ? (@.profile > "")') ->> 'source') STORED,
    ADD COLUMN persistent_profile_mode text GENERATED ALWAYS AS
        (jsonb_path_query_first(spec, '$.mounts[*] ? (@.profile > "")') ->> 'profile') STORED;
CREATE UNIQUE INDEX sessions_one_profile ON sessions (profile_path)
    WHERE profile_path IS NOT NULL AND status NOT IN ('failed', 'deleting', 'deleted');
