-- The last term whose holder was named in the log. Who took the lease in a server that was dying, and was cut off before
-- it could say so, has nobody's role to hand on: the next one took over from the holder before.
ALTER TABLE zone_leases ADD COLUMN announced_term bigint;
UPDATE zone_leases SET announced_term = term;

-- TAKE as lease_take_v2 does it, in one function. Managers of the version before go on with that one.
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
