-- User names that their first user no longer has. Folders named by {username} stay with that user.
CREATE TABLE former_usernames (
    username text PRIMARY KEY,
    user_id  uuid NOT NULL              -- the first user with this name; need not exist any more
);

CREATE FUNCTION note_former_username() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (TG_OP = 'DELETE' OR NEW.username <> OLD.username)
       AND NOT EXISTS (SELECT 1 FROM anonymous_users a WHERE a.user_id = OLD.user_id) THEN
        INSERT INTO former_usernames (username, user_id) VALUES (OLD.username, OLD.user_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE TRIGGER users_note_former_username BEFORE DELETE OR UPDATE OF username ON users
    FOR EACH ROW EXECUTE FUNCTION note_former_username();
