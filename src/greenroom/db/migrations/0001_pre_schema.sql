-- The schema. Ids are uuids; times are timestamptz; units are in the names where they are ours.
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
    former_names            text[] NOT NULL DEFAULT '{}',   -- it is found by them until another zone takes such a name
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
    previous_expires_at timestamptz,
    announced_term      bigint              -- the last term whose holder was named in the log
);

CREATE FUNCTION zone_lease_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO zone_leases (zone_key) VALUES (NEW.zone_key);
    RETURN NULL;
END $$;
CREATE TRIGGER zone_lease_row AFTER INSERT ON zones FOR EACH ROW EXECUTE FUNCTION zone_lease_row();

-- "At least one enabled Manager per zone" is kept here, so that plain SQL cannot break it either, whatever statement and
-- isolation level it uses (DISABLE of PROTOCOLS §1). The zones are written, not only locked: a transaction that would
-- count in a snapshot from before another one's disable (REPEATABLE READ) fails with a serialization error instead.
CREATE FUNCTION managers_lock_zones() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM zones ORDER BY zone_id FOR NO KEY UPDATE;
    UPDATE zones SET had_manager = had_manager WHERE had_manager;
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
-- A new record is looked at for its own zone alone: a zone without an enabled Manager keeps none from registering elsewhere.
CREATE FUNCTION managers_insert_an_enabled_one() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone text;
BEGIN
    SELECT z.zone_name INTO zone FROM zones z WHERE z.zone_id IN (SELECT i.zone_id FROM inserted i)
       AND NOT EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled) LIMIT 1;
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
CREATE TRIGGER managers_2_keep_inserted AFTER INSERT ON managers REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION managers_insert_an_enabled_one();
CREATE TRIGGER managers_2_keep_truncated AFTER TRUNCATE ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION managers_keep_one_enabled();

-- A Manager that is disabled, deleted or moved to another zone is Primary no longer from this commit on, also when it is
-- frozen and cannot say so itself; the enabled Managers are notified and end its connection.
CREATE FUNCTION manager_leaves_office() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone integer;
BEGIN
    UPDATE zone_leases SET expires_at = '-infinity' WHERE manager_id = OLD.manager_id RETURNING zone_key INTO zone;
    IF FOUND THEN PERFORM pg_notify('greenroom', 'lease:' || zone); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER managers_disabled AFTER UPDATE OF enabled, zone_id ON managers FOR EACH ROW
    WHEN (OLD.enabled AND NOT NEW.enabled OR OLD.zone_id <> NEW.zone_id) EXECUTE FUNCTION manager_leaves_office();
CREATE TRIGGER managers_deleted AFTER DELETE ON managers FOR EACH ROW EXECUTE FUNCTION manager_leaves_office();

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
-- NULL = the lease is not to be had now; the lock is released. 0 = the lock is another's, go again, without an error for
-- the log of PostgreSQL. A term = Primary, and the session lock stays held. Who took the lease in a server that was dying,
-- and was cut off before its term was announced, has no role to hand on: the next one took over from the holder before.
-- A changed function gets a new name: during an update the Managers of both versions take leases.
CREATE FUNCTION lease_take_v3(z integer, me uuid, mgr uuid, my_term bigint, ttl interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE t bigint;
BEGIN
    PERFORM pg_advisory_lock(71, z);
    PERFORM 1 FROM managers WHERE manager_id = mgr AND enabled FOR SHARE;
    IF FOUND THEN
        UPDATE zone_leases SET
            term = CASE WHEN holder = me AND term = my_term AND expires_at > clock_timestamp() THEN term ELSE term + 1 END,
            holder = me, manager_id = mgr, expires_at = clock_timestamp() + ttl, renewed_at = clock_timestamp(),
            backend_pid = pg_backend_pid(),
            previous_manager_id = CASE WHEN announced_term < term THEN previous_manager_id ELSE manager_id END,
            previous_expires_at = CASE WHEN announced_term < term THEN previous_expires_at ELSE expires_at END
        WHERE zone_key = z
          AND (holder = me OR expires_at <= clock_timestamp() OR renewed_at > pg_postmaster_start_time())
        RETURNING term INTO t;
    END IF;
    IF t IS NULL THEN PERFORM pg_advisory_unlock_all(); END IF;
    RETURN t;
EXCEPTION
    WHEN lock_not_available THEN
        PERFORM pg_advisory_unlock_all();
        RETURN 0;
    WHEN query_canceled OR OTHERS THEN
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

-- Users made for one launch without a user; they leave some time after their last session.
CREATE TABLE anonymous_users (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE
);

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
    login_id   uuid NOT NULL DEFAULT gen_random_uuid(),     -- names it without its token
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT now(),
    last_used  timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL,
    client_ip  text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT ''
);
CREATE INDEX login_sessions_user ON login_sessions (user_id);
CREATE UNIQUE INDEX login_sessions_id ON login_sessions (login_id);

-- A one-time link logs a user in once.
CREATE TABLE login_links (
    token_hash bytea PRIMARY KEY,           -- sha256 of the link's secret
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL
);

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

-- An API key may no more than the user who made it. The first key of the installation belongs to nobody; a deleted
-- user's keys are disabled, because nothing would bound them any more.
CREATE FUNCTION users_disable_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys SET enabled = false WHERE created_by = OLD.user_id;
    RETURN OLD;
END $$;
CREATE TRIGGER users_disable_keys BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION users_disable_keys();

-- Workspaces -------------------------------------------------------------------------------------------------------

CREATE TABLE filter_policies (
    filter_policy_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL CONSTRAINT filter_policies_name_unique UNIQUE,
    description      text NOT NULL DEFAULT '',
    default_action   text NOT NULL DEFAULT 'deny' CHECK (default_action IN ('allow', 'deny')),
    allow            text[] NOT NULL DEFAULT '{}',      -- domains, each with everything below it; none is in both
    deny             text[] NOT NULL DEFAULT '{}',
    created          timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER filter_policies_notify AFTER INSERT OR UPDATE OR DELETE ON filter_policies
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('filter_policies');

CREATE TABLE images (
    image_id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                      text NOT NULL,                -- the image's reference, e.g. greenroom/desktop:xfce
    friendly_name             text NOT NULL CONSTRAINT images_friendly_name_unique UNIQUE,
    description               text NOT NULL DEFAULT '',
    notes                     text NOT NULL DEFAULT '',     -- of administrators
    image_src                 text NOT NULL DEFAULT '',
    image_type                text NOT NULL DEFAULT 'Container',
    enabled                   boolean NOT NULL DEFAULT true,
    hidden                    boolean NOT NULL DEFAULT false,
    cores                     double precision NOT NULL DEFAULT 2 CHECK (cores > 0),
    memory                    bigint NOT NULL DEFAULT 2768000000 CHECK (memory > 0),    -- reservation, bytes
    memory_limit              bigint CHECK (memory_limit > 0),                          -- bytes; null = memory
    disk_limit_bytes          bigint DEFAULT 10000000000 CHECK (disk_limit_bytes > 0),  -- null = no limit
    cpu_allocation_method     text NOT NULL DEFAULT 'Inherit' CHECK (cpu_allocation_method IN ('Inherit', 'Shares', 'Quotas')),
    docker_registry           text NOT NULL DEFAULT '',
    docker_user               text NOT NULL DEFAULT '',
    docker_token_encrypted    bytea,
    port                      integer NOT NULL DEFAULT 6901,
    protocol                  text NOT NULL DEFAULT 'https' CHECK (protocol IN ('https', 'http')),
    auth_user                 text NOT NULL DEFAULT 'kasm_user',
    page_path                 text NOT NULL DEFAULT '/',
    start_page                text NOT NULL DEFAULT '',
    ready_path                text NOT NULL DEFAULT '',
    port_map                  jsonb NOT NULL DEFAULT '{}',  -- service → port, e.g. {"audio": 4901}
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
    filter_policy_id          uuid CONSTRAINT images_filter_policy REFERENCES filter_policies,
    filter_policy_force_disabled boolean NOT NULL DEFAULT false,    -- never filtered, whatever the user's groups say
    revision                  integer NOT NULL DEFAULT 1,   -- raised when a change makes staged sessions out of date
    catalogue_name            text CONSTRAINT images_catalogue_unique UNIQUE,   -- the entry it was made from; null = none
    catalogue_image           text,                         -- that entry's image then, or when it was last updated
    created                   timestamptz NOT NULL DEFAULT now()
);

-- Pictures that administrators chose; those of recipes come with the program.
CREATE TABLE image_pictures (
    image_id   uuid PRIMARY KEY REFERENCES images ON DELETE CASCADE,
    media_type text NOT NULL,
    content    bytea NOT NULL
);

-- Lists of workspaces that others publish, as they were last read. `entries` are core.catalogue.published.Listed.
CREATE TABLE catalogues (
    catalogue_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL CONSTRAINT catalogues_name_unique UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    list_url     text NOT NULL CONSTRAINT catalogues_url_unique UNIQUE,
    entries      jsonb NOT NULL DEFAULT '[]',
    left_out     jsonb NOT NULL DEFAULT '[]',               -- sentences: what of the list is not usable, and why
    etag         text NOT NULL DEFAULT '',
    error        text NOT NULL DEFAULT '',                  -- why it could not be read the last time; empty = it could
    looked       timestamptz,                               -- when that was
    created      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE group_images (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    image_id uuid NOT NULL REFERENCES images ON DELETE CASCADE,
    PRIMARY KEY (group_id, image_id)
);

-- Agents -----------------------------------------------------------------------------------------------------------

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
    edge_url_requested text,                            -- not used until an administrator confirms it; null = none waits
    place           text NOT NULL DEFAULT '',           -- start of the machine and folder: two live processes with one
                                                        -- identity differ here, also where one machine is the other's copy
    joined_with     bytea,                              -- its join token may be shown again while the answer was lost
    refused_reason  text,                               -- the last time somebody with this identity was refused;
    refused_at      timestamptz,                        -- null again when the Agent is admitted
    refused_address text,
    runtime_error   text NOT NULL DEFAULT '',           -- why the host's container runtime does not answer; empty = it does
    lateness        jsonb NOT NULL DEFAULT '{}',        -- core.fleet.lateness.Lateness as last reported; {} = on time
    usage           jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX agents_hostname ON agents (hostname);

-- An Agent by the name of its host, for sentences; where several have that name also by its zone, or in one zone its id.
CREATE FUNCTION agent_name(a agents) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN bool_or(o.zone_id = a.zone_id) THEN format('%s (%s)', a.hostname, left(a.agent_id::text, 8))
        WHEN count(*) > 0 THEN format('%s (zone %s)', a.hostname, (SELECT zone_name FROM zones z WHERE z.zone_id = a.zone_id))
        ELSE a.hostname END
    FROM agents o WHERE o.hostname = a.hostname AND o.agent_id <> a.agent_id
$$;

-- Kept for a while after their end, so that a refusal can say what became of one. One with an agent_id lets that known
-- Agent join again, and nobody else.
CREATE TABLE join_tokens (
    token_hash    bytea PRIMARY KEY,
    join_token_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    role          text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'gateway')),
    zone_id       uuid NOT NULL REFERENCES zones ON DELETE CASCADE,
    agent_id      uuid REFERENCES agents ON DELETE CASCADE,
    enable_agent  boolean NOT NULL DEFAULT false,       -- at once, or by an administrator
    uses_left     integer NOT NULL DEFAULT 1 CHECK (uses_left >= 0),
    used          integer NOT NULL DEFAULT 0 CHECK (used >= 0),
    revoked       timestamptz,
    expires       timestamptz NOT NULL,
    created       timestamptz NOT NULL DEFAULT now(),
    created_by    text NOT NULL DEFAULT ''
);

-- Web gateways on hosts of their own, each with a credential; those beside an api use the installation's key.
CREATE TABLE gateways (
    gateway_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_id         uuid NOT NULL REFERENCES zones,
    hostname        text NOT NULL DEFAULT '',
    credential_hash bytea NOT NULL,
    joined_with     bytea,
    registered      timestamptz NOT NULL DEFAULT now(),
    last_reported   timestamptz
);

-- The authority that signs the certificates of edge gateways; its key is encrypted with the installation's key.
CREATE TABLE fleet_authority (
    only_one      boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    certificate   text NOT NULL,
    key_encrypted bytea NOT NULL,
    created       timestamptz NOT NULL DEFAULT now()
);

-- What an Agent offers (overrides and overcommit applied) and what is reserved on it. `overcommit` is that of CPU Shares,
-- and 1 where an administrator says what is offered.
CREATE TABLE agent_capacity (
    agent_id         uuid PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    cores_reported   double precision NOT NULL DEFAULT 0,
    memory_reported  bigint NOT NULL DEFAULT 0,
    cores            double precision NOT NULL DEFAULT 0,
    memory           bigint NOT NULL DEFAULT 0,
    cores_allocated  double precision NOT NULL DEFAULT 0,
    memory_allocated bigint NOT NULL DEFAULT 0,
    overcommit       double precision NOT NULL DEFAULT 1 CHECK (overcommit > 0),  -- how often each core is in `cores`
    offer_lowered    timestamptz NOT NULL DEFAULT now()     -- only newer sessions must fit into what is offered (I5)
);
CREATE FUNCTION agent_offer_lowered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.offer_lowered := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER agent_offer_lowered BEFORE UPDATE OF cores, memory ON agent_capacity FOR EACH ROW
    WHEN (NEW.cores < OLD.cores OR NEW.memory < OLD.memory) EXECUTE FUNCTION agent_offer_lowered();

CREATE TABLE agent_images (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    name     text NOT NULL,
    state    text NOT NULL CHECK (state IN ('present', 'pulling', 'absent', 'failed')),
    digest   text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL DEFAULT 0,           -- on the Agent's disk; 0 = not known
    how      text NOT NULL DEFAULT '' CHECK (how IN ('', 'pulling', 'building', 'copying')),   -- while it is on its way
    progress integer NOT NULL DEFAULT 0,
    error    text NOT NULL DEFAULT '',
    updated  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, name)
);
CREATE INDEX agent_images_name ON agent_images (name);

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
    revision                  integer NOT NULL DEFAULT 1,
    recycled                  timestamptz,      -- sessions created before are replaced one by one, claimable until then
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
    spec                 jsonb NOT NULL,        -- core.workspace.session_spec.SessionSpec without its credential
    credential_encrypted bytea NOT NULL,
    files_encrypted      bytea,                 -- put in before it starts (session_spec.File), as JSON; null = none
    spec_hash            text NOT NULL,
    config_hash          text NOT NULL DEFAULT '',      -- what of image, config and zone went into it; differs = roll over
    cores                double precision NOT NULL,     -- of the workspace; reserved_cores() says what they reserve
    cpu_quota            boolean NOT NULL GENERATED ALWAYS AS (coalesce(spec ->> 'cpu_mode', '') = 'Quotas') STORED,
    memory               bigint NOT NULL,               -- reserved, bytes
    permissions          jsonb NOT NULL DEFAULT '{}',   -- the effective allow_kasm_* of the container
    client_settings      jsonb NOT NULL DEFAULT '{}',
    created              timestamptz NOT NULL DEFAULT clock_timestamp(),
    started              timestamptz,           -- first time running
    assigned             timestamptz,
    expires              timestamptz,           -- the staged expiry before assignment, the session's after
    keepalive            timestamptz,
    expiry               jsonb NOT NULL DEFAULT '{}',   -- core.session.expiry.Clocks as of the last keepalive
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
    last_screenshot_at   timestamptz,           -- by somebody else; the user is told on the session's page
    error                text,
    slow                 boolean NOT NULL DEFAULT false,        -- it failed because something took too long
    broke                timestamptz,           -- when a staged session stopped working
    gave_up              boolean NOT NULL DEFAULT false,        -- it failed, and nothing takes its place
    log_tail             text,
    exit_code            integer,
    stopped_reason       text,                  -- why it is stopped or paused
    ended_reason         text,
    -- The profile folder that it has as its home, and how (Enabled or Reset); null = none.
    profile_path            text GENERATED ALWAYS AS
        (jsonb_path_query_first(spec, '$.mounts[*] ? (@.profile > "")') ->> 'source') STORED,
    persistent_profile_mode text GENERATED ALWAYS AS
        (jsonb_path_query_first(spec, '$.mounts[*] ? (@.profile > "")') ->> 'profile') STORED,
    -- Its user waits for another session: the hand-over of this one failed, or it could not start.
    awaits_successor     boolean GENERATED ALWAYS AS (status = 'failed' AND user_id IS NOT NULL
                             AND superseded_by IS NULL AND NOT gave_up
                             AND (set_aside_reason IS NOT NULL OR started IS NULL)) STORED,
    claimable            boolean GENERATED ALWAYS AS (status = 'running' AND user_id IS NULL
                             AND staging_config_id IS NOT NULL AND NOT retired) STORED,
    -- A session that ever was a user's is never in a pool again, whatever statement is made (I4 of `greenroom doctor`).
    CONSTRAINT sessions_staged_was_nobodys CHECK (NOT (status = 'running' AND user_id IS NULL
        AND staging_config_id IS NOT NULL AND NOT retired AND assigned IS NOT NULL))
);
-- Partial, although every key is given: columns of a complete unique index count as a key of the row, so that each claim,
-- which sets the user, would meet the foreign keys of steps and observations.
CREATE UNIQUE INDEX sessions_idempotency_unique ON sessions (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
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
-- On which Agents a staged session could not be started lately: others are tried first.
CREATE INDEX sessions_failed_starts ON sessions (staging_config_id, created)
    WHERE user_id IS NULL AND started IS NULL AND error IS NOT NULL;
-- The latest starts of a workspace: how long the launcher says that the next one takes.
CREATE INDEX sessions_started ON sessions (image_id, created DESC) WHERE started IS NOT NULL;
-- Lists of sessions, newest first: a page is read from the index, however many there are.
CREATE INDEX sessions_shown ON sessions (created, session_id) WHERE status <> 'deleted' AND superseded_by IS NULL;
CREATE INDEX sessions_unsettled ON sessions ((CASE WHEN awaits_successor THEN 'starting' ELSE status END), created, session_id)
    WHERE status NOT IN ('running', 'deleted');
CREATE INDEX sessions_set_aside ON sessions (created, session_id) WHERE set_aside_for IS NOT NULL AND status = 'failed';
-- The same of those that ended, which never change any more: an entry is written once, at the end of a session.
CREATE INDEX sessions_ended_list ON sessions (created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_unused ON sessions (created, session_id) WHERE status = 'deleted' AND user_id IS NULL;
CREATE INDEX sessions_ended_by_user ON sessions (user_id, created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_by_image ON sessions (image_id, created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_by_config ON sessions (staging_config_id, created, session_id) WHERE status = 'deleted';
CREATE INDEX sessions_ended_by_agent ON sessions (agent_id, created, session_id) WHERE status = 'deleted';
CREATE UNIQUE INDEX sessions_one_replacement ON sessions (replaces) WHERE replaces IS NOT NULL AND status IN ('requested', 'starting');
-- Make before break: one replacement is under way per config at a time. A user's session is none, also where it starts
-- anew after a pause.
CREATE UNIQUE INDEX sessions_one_in_rotation ON sessions (staging_config_id)
    WHERE replaces IS NOT NULL AND user_id IS NULL AND status IN ('requested', 'starting');
-- One session at a time has a profile: two desktops that write the same settings destroy them. `deleting` does not count:
-- its container is being killed.
CREATE UNIQUE INDEX sessions_one_profile ON sessions (profile_path)
    WHERE profile_path IS NOT NULL AND status NOT IN ('failed', 'deleting', 'deleted');

-- A core of a quota can be used to the full, so it reserves a whole core of the Agent: as many cores of the offer as the
-- overcommit says.
CREATE FUNCTION reserved_cores(cores double precision, cpu_quota boolean, overcommit double precision)
    RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN cpu_quota THEN cores * overcommit ELSE cores END';

-- What quotas reserve follows a changed overcommit in the same statement. The row is locked before this runs, so nothing
-- is reserved or released meanwhile.
CREATE FUNCTION agent_overcommit_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.cores_allocated := coalesce((SELECT sum(reserved_cores(s.cores, s.cpu_quota, NEW.overcommit)) FROM sessions s
        WHERE s.agent_id = NEW.agent_id AND s.status <> 'deleted'), 0);
    NEW.offer_lowered := clock_timestamp();  -- it may be, for quotas: sessions that are there go on
    RETURN NEW;
END $$;
CREATE TRIGGER agent_overcommit_changed BEFORE UPDATE OF overcommit ON agent_capacity FOR EACH ROW
    WHEN (NEW.overcommit <> OLD.overcommit) EXECUTE FUNCTION agent_overcommit_changed();

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
    broken       boolean NOT NULL DEFAULT false,
    probe_error  text NOT NULL DEFAULT '',
    error        text NOT NULL DEFAULT '',      -- why a start failed
    log_tail     text NOT NULL DEFAULT '',      -- the last lines of a container that runs and does not become usable
    exit_code    integer,
    assignment_id uuid,                         -- of the hand-over, and how it ended
    handover     text,
    handover_error text NOT NULL DEFAULT '',
    handover_slow boolean NOT NULL DEFAULT false,
    observed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE session_steps (
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    name       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, name)
);

-- A session given to others: to a user, to users or guests who have its link, or to an administrator who helps. Links and
-- tokens are made from the ids and the installation's key; nothing here opens a stream.
CREATE TABLE session_shares (
    share_id     text PRIMARY KEY CHECK (share_id ~ '^[0-9a-f]{8}$'),
    session_id   uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    access       text NOT NULL CHECK (access IN ('view', 'control')),
    audience     text NOT NULL CHECK (audience IN ('user', 'users', 'guests', 'assistant')),
    user_id      uuid REFERENCES users ON DELETE CASCADE,       -- the user it names
    silent       boolean NOT NULL DEFAULT false,                -- the session's user sees nothing of it
    made_by      text NOT NULL,
    created      timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires      timestamptz,           -- null = with the session
    ended        timestamptz,
    CHECK ((user_id IS NOT NULL) = (audience IN ('user', 'assistant')))
);
CREATE INDEX session_shares_session ON session_shares (session_id);
CREATE INDEX session_shares_user ON session_shares (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX session_shares_expires ON session_shares (expires) WHERE ended IS NULL AND expires IS NOT NULL;

-- Who joined by a share. `present` and `seen_from` are what the Agent reported last.
CREATE TABLE session_viewers (
    viewer_id  uuid PRIMARY KEY,
    share_id   text NOT NULL REFERENCES session_shares ON DELETE CASCADE,
    user_id    uuid REFERENCES users ON DELETE CASCADE,         -- null = a guest
    name       text NOT NULL,
    joined     timestamptz NOT NULL DEFAULT clock_timestamp(),
    present    timestamptz,             -- since when a stream of theirs is open; null = none is
    seen_from  text,
    ended      timestamptz              -- they may not return
);
CREATE INDEX session_viewers_share ON session_viewers (share_id);
CREATE INDEX session_viewers_user ON session_viewers (user_id) WHERE user_id IS NOT NULL;

-- Screenshots travel as commands do, one per session: a user who asks meanwhile gets the same picture.
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
    output_complete boolean NOT NULL DEFAULT true,  -- false: still open when no more of it was waited for
    screenshot jsonb,                   -- {"width", "height"} the picture fits into; null = a command
    picture    bytea,                   -- JPEG
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished   timestamptz
);
CREATE INDEX session_commands_open ON session_commands (agent_id) WHERE state IN ('requested', 'started');
CREATE INDEX session_commands_session ON session_commands (session_id);
CREATE INDEX session_commands_finished ON session_commands (finished) WHERE finished IS NOT NULL;
CREATE UNIQUE INDEX session_commands_one_screenshot ON session_commands (session_id) WHERE screenshot IS NOT NULL;

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
    duration_ms double precision NOT NULL DEFAULT 0,
    -- Where a search for another session begins when this one fails: null = in the zone of the failed session.
    current_zone_id uuid,
    request_host text NOT NULL DEFAULT ''
);
CREATE INDEX launches_session ON launches (session_id);
CREATE INDEX launches_at ON launches (at, launch_id);
CREATE INDEX launches_by_user ON launches (user_id, at, launch_id);
CREATE INDEX launches_by_image ON launches (image_id, at, launch_id);
CREATE INDEX launches_by_duration ON launches (duration_ms, launch_id);
-- What is rare; staged ones, which are to be fast and are many, have no entry.
CREATE INDEX launches_not_staged ON launches (outcome, at, launch_id) WHERE outcome <> 'staged';

-- Whose launch was refused in a zone for want of room: for some seconds its pools leave the room that comes free to that
-- user. `since` is the first of several refusals that followed each other closely.
CREATE TABLE launches_waiting (
    zone_id  uuid NOT NULL REFERENCES zones ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    image_id uuid NOT NULL REFERENCES images ON DELETE CASCADE,
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (zone_id, user_id, image_id)
);

-- Hits and misses of staging configs, counted from the ledger once for each whole hour: a row for every config there was.
CREATE TABLE staging_hours (
    staging_config_id uuid NOT NULL REFERENCES staging_configs ON DELETE CASCADE,
    hour              timestamptz NOT NULL,     -- its begin
    hits              integer NOT NULL,
    misses            integer NOT NULL,
    served_elsewhere  integer NOT NULL,
    PRIMARY KEY (staging_config_id, hour)
);
CREATE INDEX staging_hours_hour ON staging_hours (hour);

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
    staging_config_title text,          -- its workspace and zone when the row was written; configs are deleted
    setting           text,
    details           jsonb NOT NULL DEFAULT '{}',
    security          boolean NOT NULL DEFAULT false    -- evidence: kept by age, and a number of each code
);
CREATE INDEX logs_time ON logs (time);
CREATE INDEX logs_session ON logs (session_id, log_id) WHERE session_id IS NOT NULL;
CREATE INDEX logs_code ON logs (code, log_id);
CREATE INDEX logs_component ON logs (component, log_id);
CREATE INDEX logs_zone ON logs (zone_name, log_id);
CREATE INDEX logs_user ON logs (user_id, log_id) WHERE user_id IS NOT NULL;
CREATE INDEX logs_staging_config ON logs (staging_config_id, log_id) WHERE staging_config_id IS NOT NULL;
-- A level and above, which is rare: rows below have no entry.
CREATE INDEX logs_warnings ON logs (log_id) WHERE level IN ('WARNING', 'ERROR');
CREATE INDEX logs_errors ON logs (log_id) WHERE level = 'ERROR';
-- What is to go is found without reading what stays.
CREATE INDEX logs_ordinary ON logs (log_id) WHERE NOT security;
CREATE INDEX logs_ordinary_time ON logs (time) WHERE NOT security;
CREATE INDEX logs_security ON logs (code, log_id) WHERE security;
CREATE INDEX logs_security_time ON logs (time) WHERE security;

-- Evidence (rows of `logs` with `security`) is deleted when it is old or many (db/diagnostics/retention.py); the service role, which
-- does that, can delete nothing else of it: what is younger than a day stays, and so do the newest 1000 of each code, the
-- least that an administrator can set. The tables' owner can do anything.
CREATE FUNCTION keep_evidence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lost record;
    newer bigint;
BEGIN
    IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NULL;
    END IF;
    FOR lost IN
        SELECT code, max(log_id) AS log_id FROM gone WHERE security AND time > now() - interval '1 day' GROUP BY code
    LOOP
        SELECT count(*) INTO newer FROM (
            SELECT 1 FROM logs l WHERE l.security AND l.code = lost.code AND l.log_id > lost.log_id LIMIT 1000) rows;
        IF newer < 1000 THEN
            RAISE EXCEPTION 'a row % of the security log is too young to be deleted', lost.code
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_evidence AFTER DELETE ON logs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION keep_evidence();

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
CREATE INDEX manager_requests_agent ON manager_requests (agent_id, request_id);
CREATE INDEX manager_requests_manager ON manager_requests (manager_instance_id, request_id);
CREATE INDEX manager_requests_refused ON manager_requests (status, request_id) WHERE status NOT BETWEEN 200 AND 299;
