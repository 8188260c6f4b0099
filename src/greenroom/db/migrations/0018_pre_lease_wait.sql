-- TAKE without an error for each second that another Manager lives: every follower of every zone wrote one into the log
-- of PostgreSQL. 0 = the lock is another's, go again; NULL and a term as in lease_take_v1, which has let go of the lock
-- already when it raises this. Managers of the version before go on with that one.
CREATE FUNCTION lease_take_v2(z integer, me uuid, mgr uuid, my_term bigint, ttl interval) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN lease_take_v1(z, me, mgr, my_term, ttl);
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END $$;
