-- Second factors of log-ins with a password, and accounts that no sign-on provider can change.

ALTER TABLE users ADD COLUMN break_glass boolean NOT NULL DEFAULT false;    -- true = logs in only with its password

ALTER TABLE login_sessions
    ADD COLUMN confirmed   timestamptz NOT NULL DEFAULT now(),  -- time of the last proof of identity in this log-in
    ADD COLUMN must_enroll boolean NOT NULL DEFAULT false;      -- true = only the enrollment of a factor is permitted

CREATE TABLE second_factors (
    factor_id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id            uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind               text NOT NULL CHECK (kind IN ('totp', 'passkey')),
    name               text NOT NULL,
    created            timestamptz NOT NULL DEFAULT now(),
    last_used          timestamptz,
    totp_key_encrypted bytea,
    used_step          bigint,              -- the last time step whose code was used; null = none
    rp_id              text,                -- the host for which the passkey was created
    credential_id      bytea CONSTRAINT second_factors_credential_unique UNIQUE,
    public_key         bytea,
    sign_count         bigint,
    CHECK (kind <> 'totp' OR totp_key_encrypted IS NOT NULL),
    CHECK (kind <> 'passkey' OR num_nulls(rp_id, credential_id, public_key, sign_count) = 0)
);
CREATE INDEX second_factors_user ON second_factors (user_id);
CREATE UNIQUE INDEX second_factors_one_totp ON second_factors (user_id) WHERE kind = 'totp';

-- Each code replaces a factor once.
CREATE TABLE recovery_codes (
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash bytea NOT NULL,               -- sha256
    PRIMARY KEY (user_id, code_hash)
);

-- Log-ins whose password was right, and whose second factor is missing.
CREATE TABLE pending_logins (
    token_hash bytea PRIMARY KEY,           -- sha256 of the value of the cookie
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires    timestamptz NOT NULL
);
CREATE INDEX pending_logins_user ON pending_logins (user_id);

-- Values that the server created and that the next request of the same browser must use.
CREATE TABLE factor_challenges (
    token_hash bytea NOT NULL,              -- sha256 of the token of the log-in or the pending log-in
    purpose    text NOT NULL CHECK (purpose IN ('totp', 'passkey')),
    value      bytea NOT NULL,              -- the encrypted new key, or the challenge of a passkey
    expires    timestamptz NOT NULL,
    PRIMARY KEY (token_hash, purpose)
);
