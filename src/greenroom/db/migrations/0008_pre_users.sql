-- A log-in can be named (and ended) without its token; a one-time link logs a user in once.
ALTER TABLE login_sessions ADD COLUMN login_id uuid NOT NULL DEFAULT gen_random_uuid();
CREATE UNIQUE INDEX login_sessions_id ON login_sessions (login_id);

CREATE TABLE login_links (
    token_hash bytea PRIMARY KEY,           -- sha256 of the link's secret
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL
);

-- Users made for one launch without a user; they leave some time after their last session.
CREATE TABLE anonymous_users (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE
);
INSERT INTO anonymous_users SELECT user_id FROM users
 WHERE username LIKE 'anonymous-%' AND notes = 'Anonymous' AND password_hash IS NULL;

-- An API key may no more than the user who made it. The first key of the installation belongs to nobody; a deleted
-- user's keys are disabled, because nothing would bound them any more.
UPDATE api_keys SET created_by = NULL WHERE name = 'First key of the installation';
CREATE FUNCTION users_disable_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys SET enabled = false WHERE created_by = OLD.user_id;
    RETURN OLD;
END $$;
CREATE TRIGGER users_disable_keys BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION users_disable_keys();
