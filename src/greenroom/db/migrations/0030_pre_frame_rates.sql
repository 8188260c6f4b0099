-- The last values of the picture that the page of a session reported.
ALTER TABLE sessions ADD COLUMN frames_s real;
ALTER TABLE sessions ADD COLUMN kbit_s real;
