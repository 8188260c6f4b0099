-- Plain SQL disables a Manager with every effect, and leaves no zone without an enabled one, whatever statement and
-- isolation level it uses (DISABLE of PROTOCOLS §1).

-- The zones are written, not only locked: a transaction that would count in a snapshot from before another one's disable
-- (REPEATABLE READ) fails with a serialization error instead.
CREATE OR REPLACE FUNCTION managers_lock_zones() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM zones ORDER BY zone_id FOR NO KEY UPDATE;
    UPDATE zones SET had_manager = had_manager WHERE had_manager;
    RETURN NULL;
END $$;
CREATE TRIGGER managers_2_keep_inserted AFTER INSERT ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION managers_keep_one_enabled();
CREATE TRIGGER managers_2_keep_truncated AFTER TRUNCATE ON managers
    FOR EACH STATEMENT EXECUTE FUNCTION managers_keep_one_enabled();

-- A Manager that is disabled, deleted or moved to another zone is Primary no longer from this commit on, also when it is
-- frozen and cannot say so itself; the enabled Managers, told by the notification, end its connection.
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
