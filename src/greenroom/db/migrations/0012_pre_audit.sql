-- The audit: a chain of events (core/audit.py). The service role can only add events.

CREATE TABLE audit_events (
    event_id     bigint PRIMARY KEY,            -- consecutive
    time         timestamptz NOT NULL,
    code         text NOT NULL,
    result       text NOT NULL CHECK (result IN ('done', 'refused', 'failed')),
    message      text NOT NULL,
    operation    text,
    interface    text NOT NULL,
    actor_kind   text NOT NULL,
    actor_id     text,                          -- ids are texts without foreign keys, because objects are deleted
    actor_name   text,
    on_behalf_of text,
    address      text,
    object_kind  text,
    object_id    text,
    object_name  text,
    details      text NOT NULL,                 -- JSON as text, because the hash is that of the text
    request_id   text,
    hash         bytea NOT NULL
);
CREATE INDEX audit_events_time ON audit_events (time);
CREATE INDEX audit_events_code ON audit_events (code, event_id);
CREATE INDEX audit_events_actor ON audit_events (actor_name, event_id);
CREATE INDEX audit_events_object ON audit_events (object_id, event_id) WHERE object_id IS NOT NULL;
CREATE INDEX audit_events_request ON audit_events (request_id) WHERE request_id IS NOT NULL;

-- The end of the chain.
CREATE TABLE audit_head (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    last_id   bigint NOT NULL,
    last_hash bytea NOT NULL,
    time      timestamptz NOT NULL,             -- of the last event
    signature bytea NOT NULL
);

-- The last event of each day (UTC) that is over.
CREATE TABLE audit_seals (
    day               date PRIMARY KEY,
    last_id           bigint NOT NULL,
    last_hash         bytea NOT NULL,
    signature         bytea NOT NULL,
    deleted_signature bytea                     -- not null: retention deleted the events up to this day
);

-- Deletes the events up to a day, as the owner of the table. The service role can delete no other events: the days must
-- be older than 30 days, the seal must confirm the deletion, and the setting audit_hold must be off.
CREATE FUNCTION delete_audit_events(up_to date) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    last bigint;
    number bigint;
BEGIN
    SELECT last_id INTO last FROM audit_seals WHERE day = up_to AND deleted_signature IS NOT NULL;
    IF last IS NULL OR up_to >= (now() AT TIME ZONE 'UTC')::date - 30 OR EXISTS (
        SELECT FROM settings WHERE name = 'audit_hold' AND value = 'true'::jsonb) THEN
        RAISE EXCEPTION 'the events of the audit up to % must be kept', up_to USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM audit_events WHERE event_id = ANY(ARRAY(
        SELECT event_id FROM audit_events WHERE event_id <= last ORDER BY event_id LIMIT 10000));
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END
$$;
