-- A log row goes on naming a staging config that was deleted: its workspace and zone when the row was written.
ALTER TABLE logs ADD COLUMN staging_config_title text;
