-- Users, groups, log-ins, API keys, and sign-on at OpenID Connect providers.

CREATE TABLE groups (
    group_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL CONSTRAINT groups_name_unique UNIQUE,
    description text NOT NULL DEFAULT '',
    priority    integer NOT NULL DEFAULT 100,
    is_system   boolean NOT NULL DEFAULT false,
    permissions text[] NOT NULL DEFAULT '{}'
);

CREATE TABLE group_settings (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    name     text NOT NULL,
    value    jsonb NOT NULL,
    PRIMARY KEY (group_id, name)
);
CREATE TRIGGER group_settings_notify AFTER INSERT OR UPDATE OR DELETE ON group_settings
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('settings');

CREATE TABLE users (
    user_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username      text NOT NULL CHECK (username <> '' AND length(username) <= 255),
    realm         text NOT NULL DEFAULT 'local',
    first_name    text NOT NULL DEFAULT '',
    last_name     text NOT NULL DEFAULT '',
    phone         text NOT NULL DEFAULT '',
    organization  text NOT NULL DEFAULT '',
    notes         text NOT NULL DEFAULT '',
    password_hash text,                             -- argon2id; null = the user cannot log in with a password
    password_once boolean NOT NULL DEFAULT false,   -- true = the one-time password of the installation
    locked        boolean NOT NULL DEFAULT false,
    disabled      boolean NOT NULL DEFAULT false,
    auth_epoch    integer NOT NULL DEFAULT 1,       -- increases with each log-out, password change and disabling
    created       timestamptz NOT NULL DEFAULT now(),
    last_session  timestamptz
);

-- The form in which user names are compared: the case of letters and the compatible forms of Unicode make no
-- difference.
CREATE FUNCTION username_key(username text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT normalize(replace(replace(lower(normalize(username, NFKC)), 'ß', 'ss'), 'ς', 'σ'), NFKC)
$$;
CREATE UNIQUE INDEX users_username_unique ON users (username_key(username));
CREATE INDEX users_by_name ON users (lower(username));

-- Users of launches without a user. They are deleted some time after their last session.
CREATE TABLE anonymous_users (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE
);

-- User names that their first user no longer has. Folders named by {username} stay with this user.
CREATE TABLE former_usernames (
    username text PRIMARY KEY,
    user_id  uuid NOT NULL              -- the first user with this name; may be deleted
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

CREATE TABLE user_groups (
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
);

CREATE TABLE user_attributes (
    user_id                   uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    ssh_public_key            text,
    ssh_private_key_encrypted bytea,
    preferred_language        text,
    preferred_timezone        text,
    default_image             uuid,
    theme                     text,
    client_fields             jsonb NOT NULL DEFAULT '{}'   -- as in images
);

CREATE TABLE login_sessions (
    token_hash bytea PRIMARY KEY,                       -- sha256 of the value of the cookie
    login_id   uuid NOT NULL DEFAULT gen_random_uuid(), -- identifies the log-in without its token
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT now(),
    last_used  timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL,
    client_ip  text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT ''
);
CREATE INDEX login_sessions_user ON login_sessions (user_id);
CREATE UNIQUE INDEX login_sessions_id ON login_sessions (login_id);

-- A link logs a user in once.
CREATE TABLE login_links (
    token_hash bytea PRIMARY KEY,           -- sha256 of the secret in the link
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL
);

CREATE TABLE login_failures (
    username_lower text NOT NULL,
    client_ip      text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failures_at ON login_failures (username_lower, client_ip, at);

CREATE TABLE api_keys (
    key_id      text PRIMARY KEY,           -- the public half, 12 characters
    secret_hash bytea NOT NULL,             -- sha256 of the secret half (256 random bits)
    name        text NOT NULL DEFAULT '',
    permissions text[] NOT NULL DEFAULT '{}',
    read_only   boolean NOT NULL DEFAULT false,
    enabled     boolean NOT NULL DEFAULT true,
    created_by  uuid REFERENCES users ON DELETE SET NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz,
    last_used   timestamptz,
    max_leases  integer CHECK (max_leases >= 0),    -- null = no limit
    max_lease_s integer CHECK (max_lease_s >= 60)   -- null = no limit
);

-- The permissions of the user who created an API key limit the key. The first key of the installation has no user. The
-- keys of a deleted user are disabled, because nothing would limit them.
CREATE FUNCTION users_disable_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys SET enabled = false WHERE created_by = OLD.user_id;
    RETURN OLD;
END $$;
CREATE TRIGGER users_disable_keys BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION users_disable_keys();

CREATE TABLE sign_on_providers (
    provider_id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                    text NOT NULL CONSTRAINT sign_on_providers_name_unique UNIQUE,   -- part of its redirect URI
    title                   text NOT NULL,                  -- the text of its button
    issuer                  text NOT NULL,
    client_id               text NOT NULL,
    client_secret_encrypted bytea,                          -- null = a public client
    client_auth             text NOT NULL CHECK (client_auth IN ('client_secret_basic', 'client_secret_post')),
    scopes                  text NOT NULL,
    enabled                 boolean NOT NULL,
    create_users            boolean NOT NULL,               -- false = only linked users can log in
    rule_required           boolean NOT NULL,               -- true = only users who match a rule can log in
    attributes              jsonb NOT NULL,                 -- field of a user → claim
    rules                   jsonb NOT NULL,                 -- [{claim, value, group_id}]
    check_s                 integer NOT NULL CHECK (check_s >= 0),          -- between checks of log-ins; 0 = no checks
    check_grace_s           integer NOT NULL CHECK (check_grace_s >= 0),    -- time for which checks may fail
    created                 timestamptz NOT NULL DEFAULT now()
);

-- A user at an issuer. No foreign key to a provider: several providers may have the same issuer.
CREATE TABLE identities (
    identity_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    issuer      text NOT NULL,
    subject     text NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    last_used   timestamptz,
    CONSTRAINT identities_subject_unique UNIQUE (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE provider_logins (
    login_id                uuid PRIMARY KEY REFERENCES login_sessions (login_id) ON DELETE CASCADE,
    provider_id             uuid NOT NULL REFERENCES sign_on_providers ON DELETE CASCADE,
    subject                 text NOT NULL,
    sid                     text,                           -- the provider's id of the log-in, for its log-out requests
    id_token_encrypted      bytea NOT NULL,                 -- a hint for the log-out at the provider
    refresh_token_encrypted bytea,
    checked                 timestamptz NOT NULL DEFAULT now(),     -- time of the last successful check
    due                     timestamptz                     -- time of the next check; null = no checks
);
CREATE INDEX provider_logins_provider ON provider_logins (provider_id, subject);
CREATE INDEX provider_logins_due ON provider_logins (due) WHERE due IS NOT NULL;
