-- The name that the user of a session gave to a share, e.g. of a link; empty = none.
ALTER TABLE session_shares ADD COLUMN name text NOT NULL DEFAULT '';
