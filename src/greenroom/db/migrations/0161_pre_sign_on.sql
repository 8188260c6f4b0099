-- Sign-on at OpenID Connect providers: the providers, the identities of users at their issuers, and the log-ins through them.

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
    check_s                 integer NOT NULL CHECK (check_s >= 0),          -- interval of the checks of log-ins; 0 = no checks
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
