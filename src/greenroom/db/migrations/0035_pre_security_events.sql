-- Evidence is kept apart from all other rows (core/security_events.py): by age, and a number of each code.
ALTER TABLE logs ADD COLUMN security boolean NOT NULL DEFAULT false;
UPDATE logs SET security = true
    WHERE details ? 'who'
    OR code IN ('login', 'logout', 'login-failed', 'login-throttled', 'password-changed', 'permission-denied',
                'api-key-refused', 'session-launched', 'session-command', 'session-screenshot', 'stream-refused',
                'agent-registered', 'agent-refused', 'join-refused');

-- What is to go is found without reading what stays.
CREATE INDEX logs_ordinary ON logs (log_id) WHERE NOT security;
CREATE INDEX logs_ordinary_time ON logs (time) WHERE NOT security;
CREATE INDEX logs_security ON logs (code, log_id) WHERE security;
CREATE INDEX logs_security_time ON logs (time) WHERE security;
