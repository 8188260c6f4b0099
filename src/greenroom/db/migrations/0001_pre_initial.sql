-- The ground of the product. Ids are uuids; times are timestamptz; units are in the names where they are ours.
-- The one channel of NOTIFY is `greenroom`, payload `topic:id`; nothing depends on it being heard (PROTOCOLS §1).

CREATE TABLE installation (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    installation_id uuid NOT NULL DEFAULT gen_random_uuid(),
    db_epoch        uuid NOT NULL DEFAULT gen_random_uuid(),
    created         timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

CREATE TABLE settings (
    name    text PRIMARY KEY,
    value   jsonb NOT NULL,
    updated timestamptz NOT NULL DEFAULT now()
);

-- Zones, Managers, the lease -------------------------------------------------------------------------------------

CREATE TABLE zones (
    zone_id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_key                integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    zone_name               text NOT NULL CONSTRAINT zones_name_unique UNIQUE CHECK (zone_name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    allow_origin_domain     text NOT NULL DEFAULT '$request_host$',
    upstream_auth_address   text NOT NULL DEFAULT '$request_host$',
    load_balancing_strategy text NOT NULL DEFAULT 'Least Load'
        CHECK (load_balancing_strategy IN ('Least Load', 'Most Load', 'Least Kasms', 'Most Kasms')),
    search_alternate_zones  boolean NOT NULL DEFAULT true,
    proxy_connections       boolean NOT NULL DEFAULT true,
    proxy_hostname          text NOT NULL DEFAULT '$request_host$',
    proxy_path              text NOT NULL DEFAULT 'desktop' CHECK (proxy_path ~ '^[A-Za-z0-9][A-Za-z0-9_-]*$'),
    proxy_port              integer NOT NULL DEFAULT 443 CHECK (proxy_port BETWEEN 1 AND 65535),
    written_by_up           jsonb,          -- what `greenroom up` last wrote; a difference means somebody edited the zone
    had_manager             boolean NOT NULL DEFAULT false,
    created                 timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE managers (
    manager_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    manager_key    integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    instance_id    text NOT NULL CONSTRAINT managers_instance_unique UNIQUE,
    hostname       text NOT NULL DEFAULT '',
    version        text NOT NULL DEFAULT '',
    zone_id        uuid NOT NULL REFERENCES zones,
    gateway_url    text NOT NULL DEFAULT '',
    enabled        boolean NOT NULL DEFAULT true,
    first_reported timestamptz NOT NULL DEFAULT now(),
    last_reported  timestamptz NOT NULL DEFAULT now(),
    last_round     timestamptz              -- end of the last finished guardian round
);

CREATE TABLE zone_leases (
    zone_key    integer PRIMARY KEY REFERENCES zones (zone_key) ON DELETE CASCADE,
    holder      uuid,
    manager_id  uuid,
    term        bigint NOT NULL DEFAULT 0,
    expires_at  timestamptz NOT NULL DEFAULT '-infinity',
    renewed_at  timestamptz NOT NULL DEFAULT '-infinity',
    backend_pid integer,
    previous_manager_id uuid,               -- who held it before this TAKE, and until when: the reason of an election
    previous_expires_at timestamptz
);

CREATE FUNCTION zone_lease_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO zone_leases (zone_key) VALUES (NEW.zone_key);
    RETURN NULL;
END $$;
CREATE TRIGGER zone_lease_row AFTER INSERT ON zones FOR EACH ROW EXECUTE FUNCTION zone_lease_row();

-- "At least one enabled Manager per zone" is kept here, so that plain SQL cannot break it either (PROTOCOLS §1).
CREATE FUNCTION managers_lock_zones() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM zones ORDER BY zone_id FOR NO KEY UPDATE;
    RETURN NULL;
END $$;
CREATE FUNCTION managers_keep_one_enabled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone text;
BEGIN
    SELECT z.zone_name INTO zone FROM zones z
     WHERE z.had_manager AND NOT EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'zone % would be left without an enabled Manager; enable another Manager of the zone first', zone
            USING ERRCODE = '23514', CONSTRAINT = 'last-enabled-manager';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER managers_1_lock BEFORE UPDATE OF enabled, zone_id OR DELETE ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION managers_lock_zones();
CREATE TRIGGER managers_2_keep AFTER UPDATE OF enabled, zone_id OR DELETE ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION managers_keep_one_enabled();

CREATE FUNCTION managers_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE zones SET had_manager = true WHERE zone_id = NEW.zone_id AND NOT had_manager;
    RETURN NULL;
END $$;
CREATE TRIGGER managers_inserted AFTER INSERT OR UPDATE OF zone_id ON managers FOR EACH ROW EXECUTE FUNCTION managers_inserted();

CREATE FUNCTION notify_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('greenroom', TG_ARGV[0] || ':');
    RETURN NULL;
END $$;
CREATE TRIGGER managers_notify AFTER UPDATE OF enabled OR DELETE ON managers FOR EACH STATEMENT EXECUTE FUNCTION notify_row('managers');
CREATE TRIGGER managers_notify_new AFTER INSERT ON managers FOR EACH STATEMENT EXECUTE FUNCTION notify_row('managers');
CREATE TRIGGER zones_notify AFTER INSERT OR UPDATE OR DELETE ON zones FOR EACH STATEMENT EXECUTE FUNCTION notify_row('zones');
CREATE TRIGGER settings_notify AFTER INSERT OR UPDATE OR DELETE ON settings FOR EACH STATEMENT EXECUTE FUNCTION notify_row('settings');

-- TAKE of PROTOCOLS §1: the death-watch lock and the row in one server-side step, so that no client can freeze between.
-- NULL = the lease is not to be had now; the lock is released. A term = Primary, and the session lock stays held.
CREATE FUNCTION lease_take_v1(z integer, me uuid, mgr uuid, my_term bigint, ttl interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE t bigint;
BEGIN
    PERFORM pg_advisory_lock(71, z);
    PERFORM 1 FROM managers WHERE manager_id = mgr AND enabled FOR SHARE;
    IF FOUND THEN
        UPDATE zone_leases SET
            term = CASE WHEN holder = me AND term = my_term AND expires_at > clock_timestamp() THEN term ELSE term + 1 END,
            holder = me, manager_id = mgr, expires_at = clock_timestamp() + ttl, renewed_at = clock_timestamp(),
            backend_pid = pg_backend_pid(), previous_manager_id = manager_id, previous_expires_at = expires_at
        WHERE zone_key = z
          AND (holder = me OR expires_at <= clock_timestamp() OR renewed_at > pg_postmaster_start_time())
        RETURNING term INTO t;
    END IF;
    IF t IS NULL THEN PERFORM pg_advisory_unlock_all(); END IF;
    RETURN t;
EXCEPTION WHEN query_canceled OR OTHERS THEN
    PERFORM pg_advisory_unlock_all();
    RAISE;
END $$;

-- Users, groups, keys ----------------------------------------------------------------------------------------------

CREATE TABLE groups (
    group_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL CONSTRAINT groups_name_unique UNIQUE,
    description text NOT NULL DEFAULT '',
    priority    integer NOT NULL DEFAULT 100,
    is_system   boolean NOT NULL DEFAULT false,
    permissions text[] NOT NULL DEFAULT '{}'
);

CREATE TABLE group_settings (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    name     text NOT NULL,
    value    jsonb NOT NULL,
    PRIMARY KEY (group_id, name)
);
CREATE TRIGGER group_settings_notify AFTER INSERT OR UPDATE OR DELETE ON group_settings FOR EACH STATEMENT EXECUTE FUNCTION notify_row('settings');

CREATE TABLE users (
    user_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username      text NOT NULL CHECK (username <> '' AND length(username) <= 255),
    realm         text NOT NULL DEFAULT 'local',
    first_name    text NOT NULL DEFAULT '',
    last_name     text NOT NULL DEFAULT '',
    phone         text NOT NULL DEFAULT '',
    organization  text NOT NULL DEFAULT '',
    notes         text NOT NULL DEFAULT '',
    password_hash text,                     -- argon2id; null = cannot log in with a password
    password_once boolean NOT NULL DEFAULT false,   -- the password is the one-time one of the installation
    locked        boolean NOT NULL DEFAULT false,
    disabled      boolean NOT NULL DEFAULT false,
    auth_epoch    integer NOT NULL DEFAULT 1,       -- raised by log-out, disabling and password change
    created       timestamptz NOT NULL DEFAULT now(),
    last_session  timestamptz
);
CREATE UNIQUE INDEX users_username_unique ON users (lower(username));

CREATE TABLE user_groups (
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
);

CREATE TABLE user_attributes (
    user_id            uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    ssh_public_key     text,
    ssh_private_key_encrypted bytea,
    preferred_language text,
    preferred_timezone text,
    default_image      uuid,
    theme              text
);

CREATE TABLE login_sessions (
    token_hash bytea PRIMARY KEY,           -- sha256 of the cookie's value
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT now(),
    last_used  timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL,
    client_ip  text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT ''
);
CREATE INDEX login_sessions_user ON login_sessions (user_id);

CREATE TABLE login_failures (
    username_lower text NOT NULL,
    client_ip      text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failures_at ON login_failures (username_lower, client_ip, at);

CREATE TABLE api_keys (
    key_id      text PRIMARY KEY,           -- the public half, 12 characters
    secret_hash bytea NOT NULL,             -- sha256 of the secret half (256 random bits)
    name        text NOT NULL DEFAULT '',
    permissions text[] NOT NULL DEFAULT '{}',
    read_only   boolean NOT NULL DEFAULT false,
    enabled     boolean NOT NULL DEFAULT true,
    created_by  uuid REFERENCES users ON DELETE SET NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz,
    last_used   timestamptz
);

-- Images -----------------------------------------------------------------------------------------------------------

CREATE TABLE images (
    image_id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                      text NOT NULL,                -- the image's reference, e.g. greenroom/desktop:xfce
    friendly_name             text NOT NULL CONSTRAINT images_friendly_name_unique UNIQUE,
    description               text NOT NULL DEFAULT '',
    image_src                 text NOT NULL DEFAULT '',
    image_type                text NOT NULL DEFAULT 'Container',
    enabled                   boolean NOT NULL DEFAULT true,
    hidden                    boolean NOT NULL DEFAULT false,
    cores                     double precision NOT NULL DEFAULT 2 CHECK (cores > 0),
    memory                    bigint NOT NULL DEFAULT 2768000000 CHECK (memory > 0),    -- reservation, bytes
    memory_limit              bigint CHECK (memory_limit > 0),                          -- bytes; null = memory
    cpu_allocation_method     text NOT NULL DEFAULT 'Inherit' CHECK (cpu_allocation_method IN ('Inherit', 'Shares', 'Quotas')),
    docker_registry           text NOT NULL DEFAULT '',
    docker_user               text NOT NULL DEFAULT '',
    docker_token_encrypted    bytea,
    port                      integer NOT NULL DEFAULT 6901,
    protocol                  text NOT NULL DEFAULT 'https' CHECK (protocol IN ('https', 'http')),
    auth_user                 text NOT NULL DEFAULT 'kasm_user',
    run_config                jsonb NOT NULL DEFAULT '{}',
    exec_config               jsonb NOT NULL DEFAULT '{}',
    volume_mappings           jsonb NOT NULL DEFAULT '{}',
    categories                jsonb NOT NULL DEFAULT '[]',
    persistent_profile_path   text,
    persistent_profile_config jsonb NOT NULL DEFAULT '{}',
    restrict_to_zone          boolean NOT NULL DEFAULT false,
    zone_id                   uuid REFERENCES zones ON DELETE SET NULL,
    restrict_to_server        boolean NOT NULL DEFAULT false,
    server_id                 uuid,
    session_time_limit        integer,
    filter_policy_id          uuid,
    revision                  integer NOT NULL DEFAULT 1,   -- raised when a change makes staged sessions out of date
    created                   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE group_images (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    image_id uuid NOT NULL REFERENCES images ON DELETE CASCADE,
    PRIMARY KEY (group_id, image_id)
);

-- Agents -----------------------------------------------------------------------------------------------------------

CREATE TABLE join_tokens (
    token_hash bytea PRIMARY KEY,
    role       text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'manager')),
    zone_id    uuid NOT NULL REFERENCES zones ON DELETE CASCADE,
    uses_left  integer NOT NULL DEFAULT 1 CHECK (uses_left >= 0),
    expires    timestamptz NOT NULL,
    created    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agents (
    agent_id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_id         uuid NOT NULL REFERENCES zones,
    machine_id      text NOT NULL DEFAULT '',
    hostname        text NOT NULL DEFAULT '',
    credential_hash bytea NOT NULL,
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'missing', 'dead')),
    enabled         boolean NOT NULL DEFAULT true,
    draining        boolean NOT NULL DEFAULT false,
    incarnation     bigint NOT NULL DEFAULT 0,
    seq             bigint NOT NULL DEFAULT 0,
    complete        boolean NOT NULL DEFAULT false,     -- a complete check-in of this incarnation was committed
    manager_id      uuid,                               -- the Manager it last reported to
    manager_term    bigint NOT NULL DEFAULT 0,          -- the term it last heard
    registered      timestamptz NOT NULL DEFAULT now(),
    last_reported   timestamptz,
    cores_override  double precision,
    memory_override bigint,
    edge_url        text NOT NULL DEFAULT '',
    usage           jsonb NOT NULL DEFAULT '{}'
);

-- What an agent offers (overrides and overcommit applied) and what is reserved on it; cores × overcommit for Shares.
CREATE TABLE agent_capacity (
    agent_id         uuid PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    cores_reported   double precision NOT NULL DEFAULT 0,
    memory_reported  bigint NOT NULL DEFAULT 0,
    cores            double precision NOT NULL DEFAULT 0,
    memory           bigint NOT NULL DEFAULT 0,
    cores_allocated  double precision NOT NULL DEFAULT 0,
    memory_allocated bigint NOT NULL DEFAULT 0
);

CREATE TABLE agent_images (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    name     text NOT NULL,
    state    text NOT NULL CHECK (state IN ('present', 'pulling', 'absent', 'failed')),
    digest   text NOT NULL DEFAULT '',
    progress integer NOT NULL DEFAULT 0,
    error    text NOT NULL DEFAULT '',
    updated  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, name)
);

-- Staging and sessions -----------------------------------------------------------------------------------------------

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
    revision                  integer NOT NULL DEFAULT 1,       -- raised by recycle and by a change of permissions
    shortfall_code            text,
    shortfall_reason          text,
    failures                  integer NOT NULL DEFAULT 0,       -- failed starts in a row
    last_error                text,
    next_try                  timestamptz,
    deleted                   timestamptz,
    created                   timestamptz NOT NULL DEFAULT now()
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
    status               text NOT NULL CHECK (status IN ('requested', 'starting', 'running', 'assigning', 'stopping', 'stopped',
                             'pausing', 'paused', 'deleting', 'deleted', 'failed', 'unreachable', 'lost')),
    want                 text NOT NULL DEFAULT 'running' CHECK (want IN ('running', 'stopped', 'paused', 'absent')),
    generation           bigint NOT NULL DEFAULT 1,
    term                 bigint,                -- of the Primary that inserted it; null when the api did
    spec                 jsonb NOT NULL,        -- core.sessions.SessionSpec without its credential
    credential_encrypted bytea NOT NULL,
    spec_hash            text NOT NULL,
    config_hash          text NOT NULL DEFAULT '',      -- what of image, config and zone went into it; differs = roll over
    cores                double precision NOT NULL,     -- reserved
    memory               bigint NOT NULL,               -- reserved, bytes
    permissions          jsonb NOT NULL DEFAULT '{}',   -- the effective allow_kasm_* of the container
    client_settings      jsonb NOT NULL DEFAULT '{}',
    created              timestamptz NOT NULL DEFAULT clock_timestamp(),
    started              timestamptz,           -- first time running
    assigned             timestamptz,
    expires              timestamptz,           -- the staged expiry before assignment, the session's after
    keepalive            timestamptz,
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
    share_id             text,
    error                text,
    log_tail             text,
    exit_code            integer,
    ended_reason         text,
    claimable            boolean GENERATED ALWAYS AS (status = 'running' AND user_id IS NULL
                             AND staging_config_id IS NOT NULL AND NOT retired) STORED,
    CONSTRAINT sessions_idempotency_unique UNIQUE (user_id, idempotency_key)
);
CREATE INDEX sessions_claimable ON sessions (staging_config_id, created) WHERE claimable;
CREATE INDEX sessions_live_by_agent ON sessions (agent_id) WHERE status <> 'deleted';
CREATE INDEX sessions_live_by_zone ON sessions (zone_id) WHERE status <> 'deleted';
CREATE INDEX sessions_live_by_config ON sessions (staging_config_id) WHERE status <> 'deleted';
CREATE INDEX sessions_live_by_user ON sessions (user_id) WHERE status <> 'deleted';
CREATE INDEX sessions_ended ON sessions (ended) WHERE status = 'deleted';
CREATE INDEX sessions_superseded ON sessions (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE UNIQUE INDEX sessions_one_replacement ON sessions (replaces) WHERE replaces IS NOT NULL AND status IN ('requested', 'starting');

-- What the Agent last saw; its only author is the Agent, so that claims never meet its updates (PROTOCOLS §3).
CREATE TABLE session_observed (
    session_id   uuid PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    agent_id     uuid NOT NULL,
    incarnation  bigint NOT NULL,
    seq          bigint NOT NULL,
    generation   bigint NOT NULL,
    state        text NOT NULL,
    container_id text,
    spec_hash    text,
    address      text,
    usable       boolean NOT NULL DEFAULT false,
    probe_error  text NOT NULL DEFAULT '',
    exit_code    integer,
    observed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE session_steps (
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    name       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, name)
);

CREATE TABLE session_commands (
    command_id uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    agent_id   uuid NOT NULL,
    generation bigint NOT NULL,
    argv       jsonb NOT NULL,
    run_as     text,
    env        jsonb NOT NULL DEFAULT '{}',
    workdir    text,
    deadline_s double precision NOT NULL DEFAULT 60,
    state      text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'started', 'done', 'unknown')),
    exit_code  integer,
    output     text,
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished   timestamptz
);
CREATE INDEX session_commands_open ON session_commands (agent_id) WHERE state IN ('requested', 'started');

-- Every launch with its trace: the answer of GET /sessions/{id}/placement, and the ledger of claims.
CREATE TABLE launches (
    launch_id  uuid PRIMARY KEY,
    session_id uuid,
    user_id    uuid,
    image_id   uuid,
    zone_id    uuid,
    outcome    text NOT NULL CHECK (outcome IN ('staged', 'on_demand', 'failed')),
    steps      jsonb NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms double precision NOT NULL DEFAULT 0
);
CREATE INDEX launches_session ON launches (session_id);

-- Diagnostics ----------------------------------------------------------------------------------------------------------

CREATE TABLE logs (
    log_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time              timestamptz NOT NULL DEFAULT clock_timestamp(),
    level             text NOT NULL CHECK (level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR')),
    component         text NOT NULL,
    code              text NOT NULL,
    message           text NOT NULL,
    zone_name         text,
    session_id        uuid,
    user_id           uuid,
    username          text,
    staging_config_id uuid,
    setting           text,
    details           jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX logs_time ON logs (time);

CREATE TABLE manager_requests (
    request_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time                timestamptz NOT NULL DEFAULT clock_timestamp(),
    agent_id            uuid,
    manager_instance_id text NOT NULL,
    method              text NOT NULL,
    path                text NOT NULL,
    status              integer NOT NULL,
    duration_ms         double precision NOT NULL,
    count               integer NOT NULL DEFAULT 1      -- of 2xx: per Agent and minute
);
CREATE INDEX manager_requests_time ON manager_requests (time);
