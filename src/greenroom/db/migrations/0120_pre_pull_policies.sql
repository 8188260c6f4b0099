ALTER TABLE images
    ADD COLUMN pull_policy text NOT NULL DEFAULT 'missing' CHECK (pull_policy IN ('missing', 'daily', 'always')),
    ADD COLUMN refresh_requested timestamptz;
COMMENT ON COLUMN images.pull_policy IS 'When an Agent asks the registry for an image that it has: never, once a day, every 15 minutes';
COMMENT ON COLUMN images.refresh_requested IS 'The newest request to ask the registry at once';
ALTER TABLE agent_images
    ADD COLUMN changed timestamptz,
    ADD COLUMN refreshed timestamptz;
COMMENT ON COLUMN agent_images.changed IS 'When the Agent first reported another image under this name; NULL = it never did';
COMMENT ON COLUMN agent_images.refreshed IS 'The newest refresh request that the Agent carried out';
