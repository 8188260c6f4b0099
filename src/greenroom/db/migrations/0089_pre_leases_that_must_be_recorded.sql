-- Whether the groups of a lease's user required a recording when it was made.

ALTER TABLE leases ADD COLUMN must_record boolean NOT NULL DEFAULT false;
