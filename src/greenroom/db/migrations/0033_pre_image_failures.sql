-- The time since which an Agent cannot get an image; kept while it tries again.
ALTER TABLE agent_images ADD COLUMN failed_since timestamptz;
