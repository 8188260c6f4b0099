-- Sessions created before this are replaced one by one, and can be claimed until then. In a file of its own: a
-- transaction that held `sessions` and waited for this table would meet one that deletes a config, the other way round.
ALTER TABLE staging_configs ADD COLUMN recycled timestamptz;
