-- Workspaces (table `images`), their catalogues, and the policies of the web filter.

CREATE TABLE filter_policies (
    filter_policy_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL CONSTRAINT filter_policies_name_unique UNIQUE,
    description      text NOT NULL DEFAULT '',
    default_action   text NOT NULL DEFAULT 'deny' CHECK (default_action IN ('allow', 'deny')),
    allow            text[] NOT NULL DEFAULT '{}',  -- domains, which include their subdomains; the lists are disjoint
    deny             text[] NOT NULL DEFAULT '{}',
    created          timestamptz NOT NULL DEFAULT now(),
    -- A policy of leases contains the lists that leases have requested. Leases with equal lists share the policy, which
    -- is deleted after its last lease. When the policy that it narrows changes, both lists are derived again from
    -- `wanted`.
    of_leases        boolean NOT NULL DEFAULT false,
    narrows          uuid REFERENCES filter_policies ON DELETE SET NULL,
    wanted           text[] NOT NULL DEFAULT '{}'   -- the domains that the lease requested
);
CREATE INDEX filter_policies_narrows ON filter_policies (narrows) WHERE narrows IS NOT NULL;
CREATE TRIGGER filter_policies_notify AFTER INSERT OR UPDATE OR DELETE ON filter_policies
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('filter_policies');

CREATE TABLE images (
    image_id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                      text NOT NULL,                -- reference of the image, such as greenroom/desktop:xfce
    friendly_name             text NOT NULL CONSTRAINT images_friendly_name_unique UNIQUE,
    description               text NOT NULL DEFAULT '',
    notes                     text NOT NULL DEFAULT '',     -- for administrators
    image_src                 text NOT NULL DEFAULT '',
    image_type                text NOT NULL DEFAULT 'Container',
    enabled                   boolean NOT NULL DEFAULT true,
    hidden                    boolean NOT NULL DEFAULT false,
    cores                     double precision NOT NULL DEFAULT 2 CHECK (cores > 0),
    memory                    bigint NOT NULL DEFAULT 2768000000 CHECK (memory > 0),    -- reservation, bytes
    memory_limit              bigint CHECK (memory_limit > 0),                          -- bytes; null = memory
    disk_limit_bytes          bigint DEFAULT 10000000000 CHECK (disk_limit_bytes > 0),  -- null = no limit
    cpu_allocation_method     text NOT NULL DEFAULT 'Inherit'
        CHECK (cpu_allocation_method IN ('Inherit', 'Shares', 'Quotas')),
    docker_registry           text NOT NULL DEFAULT '',
    docker_user               text NOT NULL DEFAULT '',
    docker_token_encrypted    bytea,
    port                      integer NOT NULL DEFAULT 6901,
    protocol                  text NOT NULL DEFAULT 'https' CHECK (protocol IN ('https', 'http')),
    auth_user                 text NOT NULL DEFAULT 'kasm_user',
    page_path                 text NOT NULL DEFAULT '/',
    start_page                text NOT NULL DEFAULT '',
    ready_path                text NOT NULL DEFAULT '',
    port_map                  jsonb NOT NULL DEFAULT '{}',  -- service → port, such as {"audio": 4901}
    run_config                jsonb NOT NULL DEFAULT '{}',
    exec_config               jsonb NOT NULL DEFAULT '{}',
    volume_mappings           jsonb NOT NULL DEFAULT '{}',
    categories                jsonb NOT NULL DEFAULT '[]',
    persistent_profile_path   text,
    persistent_profile_config jsonb NOT NULL DEFAULT '{}',
    restrict_to_zone          boolean NOT NULL DEFAULT false,
    zone_id                   uuid REFERENCES zones ON DELETE SET NULL,
    restrict_to_server        boolean NOT NULL DEFAULT false,
    server_id                 uuid,
    session_time_limit        integer,
    filter_policy_id          uuid CONSTRAINT images_filter_policy REFERENCES filter_policies,
    filter_policy_force_disabled boolean NOT NULL DEFAULT false,    -- true = no filter, even if a group has one
    revision                  integer NOT NULL DEFAULT 1,   -- increases with changes that make staged sessions outdated
    catalogue_name            text CONSTRAINT images_catalogue_unique UNIQUE,   -- of its entry there; null = none
    catalogue_image           text,                         -- the image of this entry at the last update
    created                   timestamptz NOT NULL DEFAULT now(),
    client_fields             jsonb NOT NULL DEFAULT '{}',  -- stored for clients of the published interface; no effect
    allow_launch_variables    boolean NOT NULL DEFAULT true, -- false in workspaces of one application, where a
                                                            -- variable of the launch could start another program
    pull_policy               text NOT NULL DEFAULT 'missing' CHECK (pull_policy IN ('missing', 'daily', 'always')),
    refresh_requested         timestamptz
);
COMMENT ON COLUMN images.pull_policy IS
    'When an Agent asks the registry for an image that it has: never, once a day, every 15 minutes';
COMMENT ON COLUMN images.refresh_requested IS 'The newest request to ask the registry at once';

-- Pictures that administrators chose. The pictures of recipes are part of the program.
CREATE TABLE image_pictures (
    image_id   uuid PRIMARY KEY REFERENCES images ON DELETE CASCADE,
    media_type text NOT NULL,
    content    bytea NOT NULL
);

-- Published lists of workspaces, in their state at the last download. `entries` are core.catalogue.published.Listed.
CREATE TABLE catalogues (
    catalogue_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL CONSTRAINT catalogues_name_unique UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    list_url     text NOT NULL CONSTRAINT catalogues_url_unique UNIQUE,
    entries      jsonb NOT NULL DEFAULT '[]',
    left_out     jsonb NOT NULL DEFAULT '[]',   -- sentences about unusable entries
    etag         text NOT NULL DEFAULT '',
    error        text NOT NULL DEFAULT '',      -- why the last download failed; empty = it did not
    looked       timestamptz,                   -- time of the last download
    created      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE group_images (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    image_id uuid NOT NULL REFERENCES images ON DELETE CASCADE,
    PRIMARY KEY (group_id, image_id)
);
