-- The reason why a Manager refused the last check-in of an Agent; empty if it was stored.
ALTER TABLE agents ADD COLUMN check_in_refused text NOT NULL DEFAULT '';
