-- Wrong codes of an authenticator app since the last right one. Too many block the app.
ALTER TABLE second_factors ADD COLUMN wrong_codes integer NOT NULL DEFAULT 0;
