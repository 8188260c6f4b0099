-- Why a Manager counts as crash-looping, as a sentence; empty = it does not.
ALTER TABLE managers ADD COLUMN crash_loop text NOT NULL DEFAULT '';
