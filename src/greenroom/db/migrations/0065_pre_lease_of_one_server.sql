-- A lease may be taken before its end where its holder's connection has ended, which the free death-watch lock shows: on the
-- server on which it was taken. A standby that was promoted was started long before, and never had that lock.

ALTER TABLE zone_leases ADD COLUMN server_started timestamptz;   -- of the PostgreSQL server that backend_pid is of

CREATE FUNCTION lease_take_v4(z integer, me uuid, mgr uuid, my_term bigint, ttl interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE t bigint;
BEGIN
    PERFORM pg_advisory_lock(71, z);
    PERFORM 1 FROM managers WHERE manager_id = mgr AND enabled FOR SHARE;
    IF FOUND THEN
        UPDATE zone_leases SET
            term = CASE WHEN holder = me AND term = my_term AND expires_at > clock_timestamp() THEN term ELSE term + 1 END,
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
