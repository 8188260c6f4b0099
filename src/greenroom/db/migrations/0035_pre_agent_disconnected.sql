-- The time at which an Agent closed the connection of an open check-in. A later check-in or registration makes it void.
ALTER TABLE agents ADD COLUMN disconnected timestamptz;
