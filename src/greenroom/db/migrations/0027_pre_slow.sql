-- A session that failed because something took too long; nothing is known to be broken.
ALTER TABLE sessions ADD COLUMN slow boolean NOT NULL DEFAULT false;
