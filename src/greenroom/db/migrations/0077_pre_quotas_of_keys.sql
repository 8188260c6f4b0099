-- How much an API key may lease; null = without limit.
ALTER TABLE api_keys
    ADD COLUMN max_leases  integer CHECK (max_leases >= 0),
    ADD COLUMN max_lease_s integer CHECK (max_lease_s >= 60);

-- Leases that a key with a limit is being given: they count from before their launch begins until their row is in `leases`,
-- so that requests at the same time cannot exceed the limit together. One whose api died counts for some minutes.
CREATE TABLE lease_reservations (
    reservation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key_id         text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    made           timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX lease_reservations_of_key ON lease_reservations (key_id, made);
