-- Operations that have begun and have no event yet (db/diagnostics/audit_operations.py).
CREATE TABLE audit_operations (
    operation_id uuid PRIMARY KEY,
    alive        timestamptz NOT NULL DEFAULT clock_timestamp(),   -- when its process last confirmed it
    event        text NOT NULL,                 -- JSON: the event, if the process ends without a result
    signature    bytea NOT NULL                 -- with the key of the installation
);

ALTER TABLE audit_events DROP CONSTRAINT audit_events_result_check;
ALTER TABLE audit_events ADD CONSTRAINT audit_events_result_check
    CHECK (result IN ('done', 'refused', 'failed', 'unknown')) NOT VALID;
