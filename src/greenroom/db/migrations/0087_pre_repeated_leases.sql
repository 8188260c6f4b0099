-- The request that a lease is reserved for: its repetition, while it is under way, is not one lease more.
ALTER TABLE lease_reservations
    ADD COLUMN user_id         uuid,
    ADD COLUMN idempotency_key text;
