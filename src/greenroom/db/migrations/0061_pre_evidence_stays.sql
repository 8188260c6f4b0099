-- Evidence (rows of `logs` with `security`) is deleted when it is old or many (db/retention.py); the service role, which
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
