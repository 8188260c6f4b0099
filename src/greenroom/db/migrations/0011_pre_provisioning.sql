-- Provisioning by SCIM: its clients, and the users and groups that each of them created.

CREATE TABLE scim_clients (
    client_id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name              text NOT NULL CONSTRAINT scim_clients_name_unique UNIQUE,
    token_hash        bytea NOT NULL UNIQUE,            -- sha256 of the token (256 random bits)
    provider_id       uuid REFERENCES sign_on_providers ON DELETE SET NULL, -- its identities are linked to the users
    subject_attribute text NOT NULL CHECK (subject_attribute IN ('externalId', 'userName')),
    enabled           boolean NOT NULL DEFAULT true,
    created_by        uuid REFERENCES users ON DELETE SET NULL,
    created           timestamptz NOT NULL DEFAULT now(),
    expires           timestamptz,                      -- null = never
    last_used         timestamptz
);

-- The users that a client may see and change. Without its client, such a user is an ordinary user.
CREATE TABLE scim_users (
    user_id     uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    client_id   uuid NOT NULL REFERENCES scim_clients ON DELETE CASCADE,
    external_id text,
    document    jsonb NOT NULL,                         -- the other attributes, as the client sent them
    identity_id uuid REFERENCES identities ON DELETE SET NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    modified    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX scim_users_list ON scim_users (client_id, created, user_id);
CREATE INDEX scim_users_external ON scim_users (client_id, external_id);

CREATE TABLE scim_groups (
    group_id    uuid PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    client_id   uuid NOT NULL REFERENCES scim_clients ON DELETE CASCADE,
    external_id text,
    created     timestamptz NOT NULL DEFAULT now(),
    modified    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX scim_groups_list ON scim_groups (client_id, created, group_id);
CREATE INDEX scim_groups_external ON scim_groups (client_id, external_id);
