-- When somebody else last took a picture of a user's session: the user is told on the session's page.
ALTER TABLE sessions ADD COLUMN last_screenshot_at timestamptz;
