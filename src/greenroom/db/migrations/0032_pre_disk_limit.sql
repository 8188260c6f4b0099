-- The most a session of a workspace may write to its own disk, bytes; null = any amount.
ALTER TABLE images ADD COLUMN disk_limit_bytes bigint DEFAULT 10000000000 CHECK (disk_limit_bytes > 0);
