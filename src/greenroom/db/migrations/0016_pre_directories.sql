-- LDAP directories in which users log in with their password there.

CREATE TABLE directories (
    directory_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name               text NOT NULL CONSTRAINT directories_name_unique UNIQUE,
    title              text NOT NULL,
    servers            text[] NOT NULL CHECK (cardinality(servers) > 0),
    tls                text NOT NULL CHECK (tls IN ('ldaps', 'starttls', 'none')),
    ca_pem             text NOT NULL,                      -- '' = the certificates of the system
    bind_dn            text NOT NULL,                      -- '' = anonymous
    password_encrypted bytea,
    user_base          text NOT NULL,
    user_filter        text NOT NULL,
    login_attributes   text[] NOT NULL CHECK (cardinality(login_attributes) > 0),
    id_attribute       text NOT NULL,
    attributes         jsonb NOT NULL,                     -- field of a user → attribute
    group_base         text NOT NULL,                      -- '' = user_base
    group_filter       text NOT NULL,
    membership         text NOT NULL CHECK (membership IN ('memberof', 'member', 'nested', 'chain')),
    rules              jsonb NOT NULL,                     -- [{claim, value, group_id}]
    enabled            boolean NOT NULL,
    create_users       boolean NOT NULL,                   -- false = only linked users can log in
    rule_required      boolean NOT NULL,                   -- true = only users who match a rule can log in
    sync_s             integer NOT NULL CHECK (sync_s >= 0),     -- between synchronizations; 0 = none
    grace_s            integer NOT NULL CHECK (grace_s >= 0),    -- time for which a user may be missing
    synchronized       timestamptz,                        -- the last complete synchronization
    sync_due           timestamptz NOT NULL DEFAULT now(),
    created            timestamptz NOT NULL DEFAULT now()
);

-- The users who are missing in their directory. Their identity has no row while the directory has the user.
CREATE TABLE missing_directory_users (
    identity_id uuid PRIMARY KEY REFERENCES identities ON DELETE CASCADE,
    since       timestamptz NOT NULL DEFAULT now()
);
