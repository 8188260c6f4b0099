-- The last event of the audit that each syslog server got (api/diagnostics/syslog.py).
CREATE TABLE audit_deliveries (
    target  text PRIMARY KEY,
    last_id bigint NOT NULL
);
