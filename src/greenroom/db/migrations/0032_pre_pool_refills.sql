-- The reason why the next session of a full pool cannot start.
ALTER TABLE staging_configs ADD COLUMN refill_code text;
ALTER TABLE staging_configs ADD COLUMN refill_reason text;
