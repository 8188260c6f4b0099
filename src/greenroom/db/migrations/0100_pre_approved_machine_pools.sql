-- Who answers for the machines of a pool: those that it orders are enabled as they join. Empty = no approval: each
-- waits for an administrator. Pools that are there keep working.

ALTER TABLE machine_pools ADD COLUMN approved_by text NOT NULL DEFAULT '';
UPDATE machine_pools SET approved_by = 'an earlier version';
