-- The installation and its settings.
-- In all files: ids are uuids, times are timestamptz, and names contain units.

CREATE TABLE installation (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    installation_id uuid NOT NULL DEFAULT gen_random_uuid(),
    db_epoch        uuid NOT NULL DEFAULT gen_random_uuid(),
    created         timestamptz NOT NULL DEFAULT now(),
    migrated_by     text, -- the newest version that has applied all its migrations
    stored_in       text  -- server, database and table at the last migration; another value = a dump was restored
);
INSERT INTO installation DEFAULT VALUES;

-- The upgrade of several machines that has not ended, one machine after the other.
CREATE TABLE upgrades (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  text NOT NULL,        -- the new version
    hostname text NOT NULL,        -- the machine that started the upgrade
    previous text NOT NULL,        -- the path of the program of the previous version on this machine
    backup   text NOT NULL,        -- the path of the backup on this machine
    started  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE settings (
    name    text PRIMARY KEY,
    value   jsonb NOT NULL,
    updated timestamptz NOT NULL DEFAULT now()
);

-- All notifications use the channel `greenroom` with the payload `topic:id`. A lost notification causes only a delay.
CREATE FUNCTION notify_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('greenroom', TG_ARGV[0] || ':');
    RETURN NULL;
END $$;
CREATE TRIGGER settings_notify AFTER INSERT OR UPDATE OR DELETE ON settings
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('settings');
