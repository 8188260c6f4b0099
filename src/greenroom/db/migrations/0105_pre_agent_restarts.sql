-- Why an Agent counts as crash-looping, as a sentence; empty = it does not.
ALTER TABLE agents ADD COLUMN crash_loop text NOT NULL DEFAULT '';
