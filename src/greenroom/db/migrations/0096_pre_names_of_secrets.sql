-- Each owner names their secrets: the name of one user's secret says nothing to another user, and takes nothing from them.
ALTER TABLE secrets
    DROP CONSTRAINT secrets_name_unique,
    ADD CONSTRAINT secrets_name_unique UNIQUE NULLS NOT DISTINCT (owner_id, name);
