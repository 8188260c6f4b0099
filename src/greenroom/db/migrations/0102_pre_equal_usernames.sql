-- The form in which user names are compared: the case of letters and Unicode's compatible forms make no difference.
CREATE FUNCTION username_key(username text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT normalize(replace(replace(lower(normalize(username, NFKC)), 'ß', 'ss'), 'ς', 'σ'), NFKC)
$$;

ALTER TABLE users
    ADD COLUMN username_shared boolean NOT NULL DEFAULT false;  -- an earlier user had an equal name at the migration

UPDATE users u SET username_shared = true
WHERE EXISTS (SELECT 1 FROM users earlier WHERE username_key(earlier.username) = username_key(u.username)
              AND (earlier.created, earlier.user_id) < (u.created, u.user_id));

CREATE UNIQUE INDEX users_username_key_unique ON users (username_key(username)) WHERE NOT username_shared;

CREATE FUNCTION end_shared_username() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.username_shared := false;
    RETURN NEW;
END $$;

CREATE TRIGGER users_end_shared_username BEFORE UPDATE OF username ON users
    FOR EACH ROW WHEN (NEW.username <> OLD.username) EXECUTE FUNCTION end_shared_username();
