-- The topic of an event about the Primary of a zone is `primary`; the topic `lease` is about leases of sessions.
CREATE OR REPLACE FUNCTION manager_leaves_office() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone integer;
BEGIN
    UPDATE zone_leases SET expires_at = '-infinity' WHERE manager_id = OLD.manager_id RETURNING zone_key INTO zone;
    IF FOUND THEN PERFORM pg_notify('greenroom', 'primary:' || zone); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION lease_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('greenroom', 'lease:' || NEW.lease_id);
    RETURN NULL;
END $$;
CREATE TRIGGER lease_event AFTER INSERT OR UPDATE OF session_id ON leases FOR EACH ROW EXECUTE FUNCTION lease_event();

CREATE FUNCTION session_of_lease_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE leased uuid;
BEGIN
    SELECT lease_id INTO leased FROM leases WHERE session_id = NEW.session_id;
    IF FOUND THEN PERFORM pg_notify('greenroom', 'lease:' || leased); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER session_of_lease_ends AFTER UPDATE OF status, gave_up ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND session_is_over(NEW) AND NOT session_is_over(OLD))
    EXECUTE FUNCTION session_of_lease_event();
CREATE TRIGGER session_of_lease_extended AFTER UPDATE OF time_limit_ends ON sessions FOR EACH ROW
    WHEN (OLD.time_limit_ends IS NOT NULL AND NEW.time_limit_ends <> OLD.time_limit_ends)
    EXECUTE FUNCTION session_of_lease_event();
