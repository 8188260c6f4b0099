-- The log, and the requests that Managers received.

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
    staging_config_title text,          -- its workspace and zone at the time of the row, because configs are deleted
    setting           text,
    details           jsonb NOT NULL DEFAULT '{}',
    security          boolean NOT NULL DEFAULT false    -- the security log, which has its own limits of age and number
);
CREATE INDEX logs_time ON logs (time);
CREATE INDEX logs_session ON logs (session_id, log_id) WHERE session_id IS NOT NULL;
CREATE INDEX logs_code ON logs (code, log_id);
CREATE INDEX logs_component ON logs (component, log_id);
CREATE INDEX logs_zone ON logs (zone_name, log_id);
CREATE INDEX logs_user ON logs (user_id, log_id) WHERE user_id IS NOT NULL;
CREATE INDEX logs_staging_config ON logs (staging_config_id, log_id) WHERE staging_config_id IS NOT NULL;
-- Rows of a level and above, which are rare; other rows have no entry.
CREATE INDEX logs_warnings ON logs (log_id) WHERE level IN ('WARNING', 'ERROR');
CREATE INDEX logs_errors ON logs (log_id) WHERE level = 'ERROR';
-- The rows to delete are found without the rows to keep.
CREATE INDEX logs_ordinary ON logs (log_id) WHERE NOT security;
CREATE INDEX logs_ordinary_time ON logs (time) WHERE NOT security;
CREATE INDEX logs_security ON logs (code, log_id) WHERE security;
CREATE INDEX logs_security_time ON logs (time) WHERE security;

-- The service role deletes old and surplus rows of the security log (db/diagnostics/retention.py). It can delete no
-- other rows of it: the rows of the last day stay, and the newest 1,000 rows of each code, which is the lowest limit
-- that an administrator can set. The owner of the tables can delete all rows.
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
    count               integer NOT NULL DEFAULT 1      -- answers with 2xx have one row per Agent and minute
);
CREATE INDEX manager_requests_time ON manager_requests (time);
CREATE INDEX manager_requests_agent ON manager_requests (agent_id, request_id);
CREATE INDEX manager_requests_manager ON manager_requests (manager_instance_id, request_id);
CREATE INDEX manager_requests_refused ON manager_requests (status, request_id) WHERE status NOT BETWEEN 200 AND 299;
