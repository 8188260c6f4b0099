-- The policy of a lease keeps what it narrows, and the domains that the lease asked for: when that policy changes, both lists
-- of the lease's are derived again.
ALTER TABLE filter_policies
    ADD COLUMN narrows uuid REFERENCES filter_policies ON DELETE SET NULL,
    ADD COLUMN wanted  text[] NOT NULL DEFAULT '{}';
CREATE INDEX filter_policies_narrows ON filter_policies (narrows) WHERE narrows IS NOT NULL;
UPDATE filter_policies SET wanted = allow WHERE of_leases;
