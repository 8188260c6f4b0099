-- The height of the rows of tables that a user chose in the console.

ALTER TABLE user_attributes ADD COLUMN density text;     -- null = standard

-- The logo that an administrator chose for the console, as WebP.

ALTER TABLE installation ADD COLUMN logo bytea;           -- null = the mark of Greenroom
