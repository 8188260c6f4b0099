-- The height of the rows of tables that a user chose in the console.

ALTER TABLE user_attributes ADD COLUMN density text;     -- null = standard

-- The logo that an administrator chose for the console; no row = the mark of Greenroom.

CREATE TABLE installation_logo (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    content  bytea NOT NULL                             -- WebP
);
