-- What an Agent said last of how late it and its host are (core.lateness.Lateness); {} = on time.
ALTER TABLE agents ADD COLUMN lateness jsonb NOT NULL DEFAULT '{}';
