-- Sessions that programs have leased. A lease ends at its session's time limit, which is its deadline
-- (core.session.deadlines); the row says who holds it.
CREATE TABLE leases (
    lease_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id    uuid NOT NULL UNIQUE REFERENCES sessions ON DELETE CASCADE,
    key_id        text,                 -- the API key that holds it; null = its user does
    holder        text NOT NULL,        -- as log rows name the caller
    tags          jsonb NOT NULL,       -- as they were given: a list of words, or words by name
    created       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX leases_of_key ON leases (key_id, created) WHERE key_id IS NOT NULL;
