-- A lease has an epoch for its token, separate from its session's: a log-out of the user in a browser ends no lease that an
-- API key holds. It also has the limits of its API key, which hold after the key is deleted.
ALTER TABLE leases
    ADD COLUMN auth_epoch  integer NOT NULL DEFAULT 1,
    ADD COLUMN max_lease_s integer,                 -- seconds that one extension may give; null = without limit
    ADD COLUMN not_after   timestamptz;             -- when the API key ends; null = never
UPDATE leases l SET auth_epoch = s.auth_epoch FROM sessions s WHERE s.session_id = l.session_id;
UPDATE leases l SET max_lease_s = k.max_lease_s, not_after = k.expires FROM api_keys k WHERE k.key_id = l.key_id;
