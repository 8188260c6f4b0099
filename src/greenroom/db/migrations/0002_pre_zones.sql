-- Zones, their Managers, and the Primary of each zone.

CREATE TABLE zones (
    zone_id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_key                integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    zone_name               text NOT NULL CONSTRAINT zones_name_unique UNIQUE
        CHECK (zone_name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    allow_origin_domain     text NOT NULL DEFAULT '$request_host$',
    upstream_auth_address   text NOT NULL DEFAULT '$request_host$',
    load_balancing_strategy text NOT NULL DEFAULT 'Least Load'
        CHECK (load_balancing_strategy IN ('Least Load', 'Most Load', 'Least Kasms', 'Most Kasms')),
    search_alternate_zones  boolean NOT NULL DEFAULT true,
    proxy_connections       boolean NOT NULL DEFAULT true,
    proxy_hostname          text NOT NULL DEFAULT '$request_host$',
    proxy_path              text NOT NULL DEFAULT 'desktop' CHECK (proxy_path ~ '^[A-Za-z0-9][A-Za-z0-9_-]*$'),
    proxy_port              integer NOT NULL DEFAULT 443 CHECK (proxy_port BETWEEN 1 AND 65535),
    written_by_up           jsonb,                          -- the last values that `greenroom up` wrote; a difference
                                                            -- means that an administrator changed the zone
    had_manager             boolean NOT NULL DEFAULT false,
    former_names            text[] NOT NULL DEFAULT '{}',   -- they also find the zone, until another zone has the name
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
    last_round     timestamptz,                 -- end of the last complete round of the guardian
    crash_loop     text NOT NULL DEFAULT ''     -- why the Manager counts as crash-looping; empty = it does not
);

-- The lease of the office of Primary.
CREATE TABLE zone_leases (
    zone_key            integer PRIMARY KEY REFERENCES zones (zone_key) ON DELETE CASCADE,
    holder              uuid,
    manager_id          uuid,
    term                bigint NOT NULL DEFAULT 0,
    expires_at          timestamptz NOT NULL DEFAULT '-infinity',
    renewed_at          timestamptz NOT NULL DEFAULT '-infinity',
    backend_pid         integer,
    previous_manager_id uuid,           -- the holder before, and the end of its lease: the reason of an election
    previous_expires_at timestamptz,
    announced_term      bigint,         -- the last term whose holder was logged
    server_started      timestamptz     -- the start of the PostgreSQL server to which backend_pid belongs
);

CREATE FUNCTION zone_lease_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO zone_leases (zone_key) VALUES (NEW.zone_key);
    RETURN NULL;
END $$;
CREATE TRIGGER zone_lease_row AFTER INSERT ON zones FOR EACH ROW EXECUTE FUNCTION zone_lease_row();

-- A zone that had a Manager keeps at least one enabled Manager. The database enforces the rule, so it applies to all
-- statements and all isolation levels (docs/explanation/protocols.md §1). The zones are updated in addition to the
-- lock: a REPEATABLE READ transaction, whose snapshot may precede a concurrent change, fails with a serialization
-- error.
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
        RAISE EXCEPTION
            'zone % would be left without an enabled Manager; enable another Manager of the zone first', zone
            USING ERRCODE = '23514', CONSTRAINT = 'last-enabled-manager';
    END IF;
    RETURN NULL;
END $$;
-- For a new Manager, only its own zone is checked: another zone without an enabled Manager does not prevent its
-- registration.
CREATE FUNCTION managers_insert_an_enabled_one() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone text;
BEGIN
    SELECT z.zone_name INTO zone FROM zones z WHERE z.zone_id IN (SELECT i.zone_id FROM inserted i)
       AND NOT EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION
            'zone % would be left without an enabled Manager; enable another Manager of the zone first', zone
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

-- A Manager that is disabled, deleted or moved to another zone stops being Primary with this commit, even if its
-- process is frozen. The notification ends its connection and starts an election.
CREATE FUNCTION manager_leaves_office() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone integer;
BEGIN
    UPDATE zone_leases SET expires_at = '-infinity' WHERE manager_id = OLD.manager_id RETURNING zone_key INTO zone;
    IF FOUND THEN PERFORM pg_notify('greenroom', 'primary:' || zone); END IF;
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
CREATE TRIGGER managers_inserted AFTER INSERT OR UPDATE OF zone_id ON managers
    FOR EACH ROW EXECUTE FUNCTION managers_inserted();

CREATE TRIGGER managers_notify AFTER UPDATE OF enabled OR DELETE ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('managers');
CREATE TRIGGER managers_notify_new AFTER INSERT ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('managers');
CREATE TRIGGER zones_notify AFTER INSERT OR UPDATE OR DELETE ON zones
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('zones');

-- Become Primary, or renew the lease (TAKE in docs/explanation/protocols.md §1). The advisory lock and the row are
-- taken in one call, so that no client can freeze between the two steps. Results:
-- a term: the caller is Primary and holds the session lock;
-- 0: another process holds the lock, and the caller tries again; no error is written to the log of PostgreSQL;
-- NULL: the lease is not available, and the lock is released.
-- The lease can be taken before its end if the connection of its holder has ended. The free lock proves this only on
-- the server on which the lease was taken: a standby that was promoted never had the lock.
-- A holder whose term was not announced, because its server failed, does not count as the previous holder.
-- A function that changes gets a new name, because Managers of two versions take leases during an upgrade.
CREATE FUNCTION lease_take(z integer, me uuid, mgr uuid, my_term bigint, ttl interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE t bigint;
BEGIN
    PERFORM pg_advisory_lock(71, z);
    PERFORM 1 FROM managers WHERE manager_id = mgr AND enabled FOR SHARE;
    IF FOUND THEN
        UPDATE zone_leases SET
            term = CASE WHEN holder = me AND term = my_term AND expires_at > clock_timestamp() THEN term
                        ELSE term + 1 END,
            holder = me, manager_id = mgr, expires_at = clock_timestamp() + ttl, renewed_at = clock_timestamp(),
            backend_pid = pg_backend_pid(), server_started = pg_postmaster_start_time(),
            previous_manager_id = CASE WHEN announced_term < term THEN previous_manager_id ELSE manager_id END,
            previous_expires_at = CASE WHEN announced_term < term THEN previous_expires_at ELSE expires_at END
        WHERE zone_key = z
          AND (holder = me OR expires_at <= clock_timestamp() OR server_started = pg_postmaster_start_time())
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
