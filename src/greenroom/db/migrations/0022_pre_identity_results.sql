-- The result of the last synchronization of a directory, and tokens of SCIM clients that overlap.

ALTER TABLE directories ADD COLUMN sync_problem text NOT NULL DEFAULT ''; -- why the last synchronization stopped; '' = it did not

-- After a rotation, the former token is valid until this time.
ALTER TABLE scim_clients ADD COLUMN old_token_hash bytea UNIQUE, ADD COLUMN old_until timestamptz;
