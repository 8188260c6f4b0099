-- Whether an Agent that joins with the token is enabled at once, or waits for an administrator.
ALTER TABLE join_tokens ADD COLUMN enable_agent boolean NOT NULL DEFAULT false;
