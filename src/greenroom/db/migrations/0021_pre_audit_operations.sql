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

-- Events of the audit go to a webhook only while its user may read the audit.
CREATE FUNCTION webhook_reads_audit(w webhooks) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT w.owner_id IS NULL OR EXISTS (
        SELECT FROM user_groups ug JOIN group_grants g USING (group_id)
         WHERE ug.user_id = w.owner_id
           AND g.granted IN ('global_admin', 'audit_view', 'role:administrator', 'role:auditor'))
$$;
