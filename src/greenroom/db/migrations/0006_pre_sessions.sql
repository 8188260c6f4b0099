-- Staging configs, sessions, their homes, shares and commands, and launches.

CREATE TABLE staging_configs (
    staging_config_id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_id                   uuid NOT NULL REFERENCES zones,
    image_id                  uuid NOT NULL REFERENCES images,
    num_sessions              integer NOT NULL CHECK (num_sessions >= 0),
    expiration                double precision NOT NULL CHECK (expiration > 0),     -- hours
    paused                    boolean NOT NULL DEFAULT false,
    allow_kasm_audio          boolean NOT NULL,
    allow_kasm_uploads        boolean NOT NULL,
    allow_kasm_downloads      boolean NOT NULL,
    allow_kasm_clipboard_down boolean NOT NULL,
    allow_kasm_clipboard_up   boolean NOT NULL,
    allow_kasm_microphone     boolean NOT NULL,
    allow_kasm_gamepad        boolean NOT NULL,
    allow_kasm_webcam         boolean NOT NULL,
    revision                  integer NOT NULL DEFAULT 1,
    recycled                  timestamptz,      -- older sessions are replaced one at a time; claimable until then
    shortfall_code            text,
    shortfall_reason          text,
    failures                  integer NOT NULL DEFAULT 0,       -- consecutive failed starts
    last_error                text,
    next_try                  timestamptz,
    deleted                   timestamptz,
    created                   timestamptz NOT NULL DEFAULT now(),
    fell_short                boolean NOT NULL DEFAULT false    -- the next full pool is an event `pool.full`
);
CREATE UNIQUE INDEX staging_configs_unique ON staging_configs (zone_id, image_id, allow_kasm_audio, allow_kasm_uploads,
    allow_kasm_downloads, allow_kasm_clipboard_down, allow_kasm_clipboard_up, allow_kasm_microphone, allow_kasm_gamepad,
    allow_kasm_webcam) WHERE deleted IS NULL;

CREATE TABLE sessions (
    session_id           uuid PRIMARY KEY,
    zone_id              uuid NOT NULL REFERENCES zones,
    image_id             uuid NOT NULL REFERENCES images,
    agent_id             uuid REFERENCES agents,
    user_id              uuid REFERENCES users,
    staging_config_id    uuid REFERENCES staging_configs,
    launch_id            uuid,
    status               text NOT NULL CHECK (status IN ('requested', 'starting', 'running', 'assigning', 'stopping',
                             'stopped', 'pausing', 'paused', 'deleting', 'deleted', 'failed', 'unreachable', 'lost')),
    want                 text NOT NULL DEFAULT 'running' CHECK (want IN ('running', 'stopped', 'paused', 'absent')),
    generation           bigint NOT NULL DEFAULT 1,
    term                 bigint,                -- of the Primary that created the row; null = an api created it
    spec                 jsonb NOT NULL,        -- core.workspace.session_spec.SessionSpec without its credential
    credential_encrypted bytea NOT NULL,
    files_encrypted      bytea,                 -- files that it gets before its start, as JSON (session_spec.File)
    spec_hash            text NOT NULL,
    config_hash          text NOT NULL DEFAULT '',      -- of what it has from workspace, config and zone; staged
                                                        -- sessions with another hash are replaced
    cores                double precision NOT NULL,     -- of the workspace; reserved_cores() returns the reservation
    cpu_quota            boolean NOT NULL GENERATED ALWAYS AS (coalesce(spec ->> 'cpu_mode', '') = 'Quotas') STORED,
    memory               bigint NOT NULL,               -- reserved, bytes
    permissions          jsonb NOT NULL DEFAULT '{}',   -- the effective allow_kasm_* of the container
    client_settings      jsonb NOT NULL DEFAULT '{}',
    created              timestamptz NOT NULL DEFAULT clock_timestamp(),
    started              timestamptz,           -- when it first ran
    assigned             timestamptz,
    expires              timestamptz,           -- of a staged session before its assignment, of the session after it
    keepalive            timestamptz,
    expiry               jsonb NOT NULL DEFAULT '{}',   -- core.session.expiry.Clocks at the last keepalive
    time_limit_ends      timestamptz,           -- when the session is deleted in any case; null = never
    status_changed       timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline             timestamptz,           -- of a transitional status
    ended                timestamptz,
    assignment_id        uuid,
    assignment           jsonb,                 -- wire.messages.Assignment
    assignment_state     text,
    auth_epoch           integer NOT NULL DEFAULT 1,
    idempotency_key      text,
    idempotency_body     text,
    retired              boolean NOT NULL DEFAULT false,
    replaces             uuid,
    superseded_by        uuid,
    set_aside_reason     text,
    set_aside_for        uuid,
    allow_origin         text NOT NULL DEFAULT '',
    upstream_auth        text NOT NULL DEFAULT '',
    kasm_url             text NOT NULL DEFAULT '',
    last_screenshot_at   timestamptz,           -- by another user; the page of the session displays it
    error                text,
    slow                 boolean NOT NULL DEFAULT false,        -- it failed at a time limit
    broke                timestamptz,           -- when a staged session stopped working
    gave_up              boolean NOT NULL DEFAULT false,        -- it failed, and gets no replacement
    log_tail             text,
    exit_code            integer,
    stopped_reason       text,                  -- why it is stopped or paused
    ended_reason         text,
    -- The folder of the profile that is its home, and its mode (Enabled or Reset); null = no profile.
    profile_path            text GENERATED ALWAYS AS
        (jsonb_path_query_first(spec, '$.mounts[*] ? (@.profile > "")') ->> 'source') STORED,
    persistent_profile_mode text GENERATED ALWAYS AS
        (jsonb_path_query_first(spec, '$.mounts[*] ? (@.profile > "")') ->> 'profile') STORED,
    -- Its user waits for another session, because its hand-over failed or it did not start.
    awaits_successor     boolean GENERATED ALWAYS AS (status = 'failed' AND user_id IS NOT NULL
                             AND superseded_by IS NULL AND NOT gave_up
                             AND (set_aside_reason IS NOT NULL OR started IS NULL)) STORED,
    claimable            boolean GENERATED ALWAYS AS (status = 'running' AND user_id IS NULL
                             AND staging_config_id IS NOT NULL AND NOT retired) STORED,
    -- A session that was assigned to a user never returns to a pool, by any statement (invariant I4).
    CONSTRAINT sessions_staged_was_nobodys CHECK (NOT (status = 'running' AND user_id IS NULL
        AND staging_config_id IS NOT NULL AND NOT retired AND assigned IS NOT NULL))
);
-- Partial, although all rows with a key are in it: the columns of a complete unique index count as a key of the row.
-- Each claim sets user_id, and would then wait for the foreign keys of steps and observations.
CREATE UNIQUE INDEX sessions_idempotency_unique ON sessions (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX sessions_claimable ON sessions (staging_config_id, created) WHERE claimable;
CREATE INDEX sessions_live_by_agent ON sessions (agent_id) WHERE status <> 'deleted';
CREATE INDEX sessions_live_by_zone ON sessions (zone_id) WHERE status <> 'deleted';
CREATE INDEX sessions_live_by_config ON sessions (staging_config_id) WHERE status <> 'deleted';
CREATE INDEX sessions_live_by_user ON sessions (user_id) WHERE status <> 'deleted';
CREATE INDEX sessions_ended ON sessions (ended) WHERE status = 'deleted';
CREATE INDEX sessions_superseded ON sessions (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX sessions_launch ON sessions (launch_id) WHERE launch_id IS NOT NULL;
CREATE INDEX sessions_awaiting_successor ON sessions (zone_id) WHERE awaits_successor;
CREATE INDEX sessions_broken ON sessions (staging_config_id, broke) WHERE broke IS NOT NULL;
-- The Agents with recent failed starts of staged sessions: other Agents are preferred.
CREATE INDEX sessions_failed_starts ON sessions (staging_config_id, created)
    WHERE user_id IS NULL AND started IS NULL AND error IS NOT NULL;
-- The latest starts of a workspace, from which the page of a launch estimates the time of the next start.
CREATE INDEX sessions_started ON sessions (image_id, created DESC) WHERE started IS NOT NULL;
-- Lists of sessions, newest first: the time to read a page does not depend on the number of sessions.
CREATE INDEX sessions_shown ON sessions (created, session_id) WHERE status <> 'deleted' AND superseded_by IS NULL;
CREATE INDEX sessions_unsettled
    ON sessions ((CASE WHEN awaits_successor THEN 'starting' ELSE status END), created, session_id)
    WHERE status NOT IN ('running', 'deleted');
CREATE INDEX sessions_set_aside ON sessions (created, session_id) WHERE set_aside_for IS NOT NULL AND status = 'failed';
-- The same for ended sessions, which never change: an entry is written once, at the end of the session.
CREATE INDEX sessions_ended_list ON sessions (created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_unused ON sessions (created, session_id) WHERE status = 'deleted' AND user_id IS NULL;
CREATE INDEX sessions_ended_by_user ON sessions (user_id, created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_by_image ON sessions (image_id, created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_by_config ON sessions (staging_config_id, created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_by_agent ON sessions (agent_id, created, session_id) WHERE status = 'deleted';
CREATE UNIQUE INDEX sessions_one_replacement ON sessions (replaces)
    WHERE replaces IS NOT NULL AND status IN ('requested', 'starting');
-- A session is replaced before it ends, and each config has one replacement at a time. A claim clears `replaces`, so
-- the session of a user does not count if it starts again after a pause.
CREATE UNIQUE INDEX sessions_one_in_rotation ON sessions (staging_config_id)
    WHERE replaces IS NOT NULL AND status IN ('requested', 'starting');
-- One session at a time has a profile: two desktops that write the same settings destroy them. The status `deleting`
-- does not count, because the container is being killed.
CREATE UNIQUE INDEX sessions_one_profile ON sessions (profile_path)
    WHERE profile_path IS NOT NULL AND status NOT IN ('failed', 'deleting', 'deleted');

-- A session can use the cores of a quota completely, so it reserves whole cores of the Agent: each of them is as many
-- offered cores as the overcommit says.
CREATE FUNCTION reserved_cores(cores double precision, cpu_quota boolean, overcommit double precision)
    RETURNS double precision LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN cpu_quota THEN cores * overcommit ELSE cores END';

-- A change of the overcommit changes the reservations of quotas in the same statement. The row is already locked, so
-- no reservation changes at the same time.
CREATE FUNCTION agent_overcommit_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.cores_allocated := coalesce((SELECT sum(reserved_cores(s.cores, s.cpu_quota, NEW.overcommit)) FROM sessions s
        WHERE s.agent_id = NEW.agent_id AND s.status <> 'deleted'), 0);
    NEW.offer_lowered := clock_timestamp();  -- a quota can reduce the offer: existing sessions continue
    RETURN NEW;
END $$;
CREATE TRIGGER agent_overcommit_changed BEFORE UPDATE OF overcommit ON agent_capacity FOR EACH ROW
    WHEN (NEW.overcommit <> OLD.overcommit) EXECUTE FUNCTION agent_overcommit_changed();

-- The last observation of the Agent. Only the Agent writes it, so claims and its reports never wait for each other
-- (docs/explanation/protocols.md §3).
CREATE TABLE session_observed (
    session_id     uuid PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    agent_id       uuid NOT NULL,
    incarnation    bigint NOT NULL,
    seq            bigint NOT NULL,
    generation     bigint NOT NULL,
    state          text NOT NULL,
    container_id   text,
    spec_hash      text,
    address        text,
    usable         boolean NOT NULL DEFAULT false,
    broken         boolean NOT NULL DEFAULT false,
    probe_error    text NOT NULL DEFAULT '',
    error          text NOT NULL DEFAULT '',    -- why a start failed
    log_tail       text NOT NULL DEFAULT '',    -- the last lines of a container that runs and does not become usable
    exit_code      integer,
    assignment_id  uuid,                        -- of the hand-over, with its result
    handover       text,
    handover_error text NOT NULL DEFAULT '',
    handover_slow  boolean NOT NULL DEFAULT false,
    observed_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE session_steps (
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    name       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, name)
);

-- The home folders that Agents keep (core.workspace.homes). The session that uses a home creates its row, and the Agent
-- reports its size. There are no foreign keys to the user and the workspace, because the files outlive them.
CREATE TABLE homes (
    home_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id   uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    user_id    uuid NOT NULL,
    image_id   uuid NOT NULL,
    size_bytes bigint,                          -- null = not measured yet
    measured   timestamptz,
    problem    text NOT NULL DEFAULT '',        -- why it was not measured, or is not removed yet
    last_used  timestamptz NOT NULL DEFAULT clock_timestamp(),
    removal_id uuid,                            -- of the requested deletion; null = no request
    moved_away boolean NOT NULL DEFAULT false,  -- by this deletion: no new session can use it
    CHECK (removal_id IS NOT NULL OR NOT moved_away)
);
CREATE UNIQUE INDEX homes_one ON homes (agent_id, user_id, image_id) WHERE NOT moved_away;
CREATE INDEX homes_of_user ON homes (user_id, image_id);
CREATE INDEX homes_to_remove ON homes (agent_id) WHERE removal_id IS NOT NULL;

-- A session is created together with the row of its home, and is refused while this home is being deleted. Its
-- transaction locks the home last, after the rows of sessions; a report of homes locks only homes.
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

-- A share of a session: for one user, for users or guests with its link, or for an administrator who helps. Links and
-- tokens are derived from the ids and the key of the installation, so these rows open no stream.
CREATE TABLE session_shares (
    share_id   text PRIMARY KEY CHECK (share_id ~ '^[0-9a-f]{8}$'),
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    access     text NOT NULL CHECK (access IN ('view', 'control')),
    audience   text NOT NULL CHECK (audience IN ('user', 'users', 'guests', 'assistant')),
    user_id    uuid REFERENCES users ON DELETE CASCADE,     -- of a share for one user
    silent     boolean NOT NULL DEFAULT false,              -- the user of the session does not see the share
    made_by    text NOT NULL,
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires    timestamptz,                                 -- null = with the session
    ended      timestamptz,
    CHECK ((user_id IS NOT NULL) = (audience IN ('user', 'assistant')))
);
CREATE INDEX session_shares_session ON session_shares (session_id);
CREATE INDEX session_shares_user ON session_shares (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX session_shares_expires ON session_shares (expires) WHERE ended IS NULL AND expires IS NOT NULL;

-- The viewers who joined by a share. `present` and `seen_from` are from the last report of the Agent.
CREATE TABLE session_viewers (
    viewer_id uuid PRIMARY KEY,
    share_id  text NOT NULL REFERENCES session_shares ON DELETE CASCADE,
    user_id   uuid REFERENCES users ON DELETE CASCADE,      -- null = a guest
    name      text NOT NULL,
    joined    timestamptz NOT NULL DEFAULT clock_timestamp(),
    present   timestamptz,                                  -- when the viewer opened a stream; null = no open stream
    seen_from text,
    ended     timestamptz                                   -- the viewer may not return
);
CREATE INDEX session_viewers_share ON session_viewers (share_id);
CREATE INDEX session_viewers_user ON session_viewers (user_id) WHERE user_id IS NOT NULL;

-- Screenshots are requested like commands, one per session at a time: concurrent requests get the same picture.
CREATE TABLE session_commands (
    command_id      uuid PRIMARY KEY,
    session_id      uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    agent_id        uuid NOT NULL,
    generation      bigint NOT NULL,
    argv            jsonb NOT NULL,
    run_as          text,
    env             jsonb NOT NULL DEFAULT '{}',
    workdir         text,
    deadline_s      double precision NOT NULL DEFAULT 60,
    state           text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'started', 'done', 'unknown')),
    exit_code       integer,
    output          text,
    output_complete boolean NOT NULL DEFAULT true,  -- false = it was still open when the Agent stopped reading it
    screenshot      jsonb,                          -- {"width", "height"}: the maximum size; null = a command
    picture         bytea,                          -- JPEG
    created         timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished        timestamptz
);
CREATE INDEX session_commands_open ON session_commands (agent_id) WHERE state IN ('requested', 'started');
CREATE INDEX session_commands_session ON session_commands (session_id);
CREATE INDEX session_commands_finished ON session_commands (finished) WHERE finished IS NOT NULL;
CREATE UNIQUE INDEX session_commands_one_screenshot ON session_commands (session_id) WHERE screenshot IS NOT NULL;

-- The ledger of launches, each with its trace, which GET /sessions/{id}/placement returns.
CREATE TABLE launches (
    launch_id       uuid PRIMARY KEY,
    session_id      uuid,
    user_id         uuid,
    image_id        uuid,
    zone_id         uuid,
    outcome         text NOT NULL CHECK (outcome IN ('staged', 'on_demand', 'failed')),
    steps           jsonb NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms     double precision NOT NULL DEFAULT 0,
    -- If its session fails, the search for another session begins in this zone; null = in the zone of the failed
    -- session.
    current_zone_id uuid,
    request_host    text NOT NULL DEFAULT ''
);
CREATE INDEX launches_session ON launches (session_id);
CREATE INDEX launches_at ON launches (at, launch_id);
CREATE INDEX launches_by_user ON launches (user_id, at, launch_id);
CREATE INDEX launches_by_image ON launches (image_id, at, launch_id);
CREATE INDEX launches_by_duration ON launches (duration_ms, launch_id);
-- Only rare outcomes: staged launches, which are many and must be fast, have no entry.
CREATE INDEX launches_not_staged ON launches (outcome, at, launch_id) WHERE outcome <> 'staged';

-- Launches that a zone refused because it had no capacity: for some seconds, pools leave free capacity to their users.
-- `since` is the first of several refusals in close succession.
CREATE TABLE launches_waiting (
    zone_id    uuid NOT NULL REFERENCES zones ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    image_id   uuid NOT NULL REFERENCES images ON DELETE CASCADE,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused    timestamptz NOT NULL DEFAULT clock_timestamp(),
    room_helps boolean NOT NULL DEFAULT true,   -- false = only a new machine of a pool helps, and no free capacity
    PRIMARY KEY (zone_id, user_id, image_id)
);

-- Hits and misses of staging configs, counted in the ledger once for each complete hour.
CREATE TABLE staging_hours (
    staging_config_id uuid NOT NULL REFERENCES staging_configs ON DELETE CASCADE,
    hour              timestamptz NOT NULL,     -- its start
    hits              integer NOT NULL,
    misses            integer NOT NULL,
    served_elsewhere  integer NOT NULL,
    PRIMARY KEY (staging_config_id, hour)
);
CREATE INDEX staging_hours_hour ON staging_hours (hour);
