-- Leases of sessions by programs, their control, secrets and recordings.

-- The deadline of a lease is the time limit of its session (core.session.deadlines); the row names its holder.
CREATE TABLE leases (
    lease_id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id      uuid NOT NULL UNIQUE REFERENCES sessions ON DELETE CASCADE,
    key_id          text,                       -- the API key that holds it; null = its user holds it
    holder          text NOT NULL,              -- the caller, as in log rows
    tags            jsonb NOT NULL,             -- as requested: a list of words, or words by name
    created         timestamptz NOT NULL DEFAULT clock_timestamp(),
    record          text NOT NULL DEFAULT 'none' CHECK (record IN ('none', 'actions', 'pictures')),
    record_text     boolean NOT NULL DEFAULT false,
    must_record     boolean NOT NULL DEFAULT false,     -- the groups of its user required a recording at the start
    -- The epoch of its token. It is separate from the epoch of its session, because a log-out of the user in a browser
    -- does not end a lease of an API key.
    auth_epoch      integer NOT NULL DEFAULT 1,
    -- The limits of its API key, which apply also after the deletion of the key: the seconds of one extension, and the
    -- end of the key; null = no limit.
    max_lease_s     integer,
    not_after       timestamptz,
    record_required boolean NOT NULL DEFAULT false      -- a group of the user requires the pictures of the recording
);
CREATE INDEX leases_of_key ON leases (key_id, created) WHERE key_id IS NOT NULL;

-- Leases that a limited API key is about to get. They count from before the launch until the row in `leases`, so that
-- concurrent requests cannot exceed the limit together. If the api fails, its reservation counts for some minutes.
CREATE TABLE lease_reservations (
    reservation_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key_id          text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    made            timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id         uuid,               -- of the request, with its idempotency key: a repeated request does not count
    idempotency_key text
);
CREATE INDEX lease_reservations_of_key ON lease_reservations (key_id, made);

-- A lease is over with its session, unless the session has a successor: then its user is removed from it, and the lease
-- moves to the successor.
CREATE FUNCTION session_is_over(s sessions) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT s.user_id IS NOT NULL
        AND (s.status IN ('deleting', 'deleted') OR s.status = 'failed' AND NOT s.awaits_successor)
$$;

CREATE FUNCTION lease_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('greenroom', 'lease:' || NEW.lease_id);
    RETURN NULL;
END $$;
CREATE TRIGGER lease_event AFTER INSERT OR UPDATE OF session_id ON leases FOR EACH ROW EXECUTE FUNCTION lease_event();

CREATE FUNCTION session_of_lease_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE leased uuid;
BEGIN
    SELECT lease_id INTO leased FROM leases WHERE session_id = NEW.session_id;
    IF FOUND THEN PERFORM pg_notify('greenroom', 'lease:' || leased); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER session_of_lease_ends AFTER UPDATE OF status, gave_up ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND session_is_over(NEW) AND NOT session_is_over(OLD))
    EXECUTE FUNCTION session_of_lease_event();
CREATE TRIGGER session_of_lease_extended AFTER UPDATE OF time_limit_ends ON sessions FOR EACH ROW
    WHEN (OLD.time_limit_ends IS NOT NULL AND NEW.time_limit_ends <> OLD.time_limit_ends)
    EXECUTE FUNCTION session_of_lease_event();

-- Who controls a leased session: one row for each change, of which the last is valid (core.lease). Without a row, the
-- program has control.
CREATE TABLE lease_controls (
    lease_id uuid NOT NULL REFERENCES leases ON DELETE CASCADE,
    term     integer NOT NULL CHECK (term > 0),
    viewer   text NOT NULL,             -- whose input is accepted: user, or the id of a viewer; empty = the program
    name     text NOT NULL,             -- of the person; empty = the program
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    until    timestamptz,               -- only in the last row, of a person: then the program has control again
    said     text NOT NULL,             -- who made the change, as a sentence
    PRIMARY KEY (lease_id, term)
);
CREATE INDEX lease_controls_held ON lease_controls (until) WHERE until IS NOT NULL;

-- Secrets that the web filter of a lease adds to requests; sessions do not have them. Each owner has a separate set of
-- names, so that names disclose nothing and are not reserved.
CREATE TABLE secrets (
    secret_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text NOT NULL,
    description     text NOT NULL DEFAULT '',
    hosts           text[] NOT NULL,            -- core.secret.rules.host
    header          text NOT NULL,
    template        text NOT NULL,
    value_encrypted bytea NOT NULL,
    value_changed   timestamptz NOT NULL DEFAULT now(),
    owner_id        uuid REFERENCES users ON DELETE CASCADE,    -- null = the first API key of the installation
    users           uuid[] NOT NULL DEFAULT '{}',               -- who may also use it
    groups          uuid[] NOT NULL DEFAULT '{}',
    keys            text[] NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT secrets_name_unique UNIQUE NULLS NOT DISTINCT (owner_id, name)
);

-- The secrets of the filter of a lease. The policy belongs only to this lease.
CREATE TABLE filter_policy_secrets (
    filter_policy_id uuid NOT NULL REFERENCES filter_policies ON DELETE CASCADE,
    secret_id        uuid NOT NULL REFERENCES secrets ON DELETE CASCADE,
    PRIMARY KEY (filter_policy_id, secret_id)
);
CREATE INDEX filter_policy_secrets_secret ON filter_policy_secrets (secret_id);

-- The Agents of running sessions are notified immediately. It is a trigger, because a secret is also deleted with its
-- owner.
CREATE FUNCTION notify_of_secret() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE seen record;
BEGIN
    FOR seen IN
        UPDATE sessions SET generation = generation + 1
         WHERE status <> 'deleted' AND spec ->> 'filter_policy' IN (
               SELECT filter_policy_id::text FROM filter_policy_secrets WHERE secret_id = OLD.secret_id)
        RETURNING agent_id, session_id
    LOOP
        PERFORM pg_notify('greenroom', 'agent:' || seen.agent_id || ':' || seen.session_id);
    END LOOP;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER secret_changed AFTER UPDATE ON secrets FOR EACH ROW
    WHEN ((OLD.name, OLD.hosts, OLD.header, OLD.template, OLD.value_encrypted)
        IS DISTINCT FROM (NEW.name, NEW.hosts, NEW.header, NEW.template, NEW.value_encrypted))
    EXECUTE FUNCTION notify_of_secret();
CREATE TRIGGER secret_deleted BEFORE DELETE ON secrets FOR EACH ROW EXECUTE FUNCTION notify_of_secret();

-- The actions of programs on leased desktops (docs/adr/0084-record-the-actions-of-a-program-on-request.md). A recording
-- outlives its lease and its session, so it has no foreign keys to them. It is deleted with its user.
CREATE TABLE recordings (
    lease_id            uuid PRIMARY KEY,
    session_id          uuid NOT NULL,          -- the last session of the lease
    user_id             uuid REFERENCES users ON DELETE CASCADE,
    key_id              text,                   -- the API key that held the lease; null = its user held it
    holder              text NOT NULL,
    image_friendly_name text NOT NULL,
    zone_name           text NOT NULL,
    record              text NOT NULL CHECK (record IN ('actions', 'pictures')),
    record_text         boolean NOT NULL,
    begun               timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended               timestamptz,
    rows                integer NOT NULL DEFAULT 0,     -- its rows have the numbers from 1 to this
    rows_left_out       integer NOT NULL DEFAULT 0,
    pictures            integer NOT NULL DEFAULT 0,
    pictures_left_out   integer NOT NULL DEFAULT 0,
    picture_bytes       bigint NOT NULL DEFAULT 0,
    required            boolean NOT NULL DEFAULT false  -- by a group of the user; others get a part of the storage
);
CREATE INDEX recordings_begun ON recordings (begun, lease_id);
CREATE INDEX recordings_ended ON recordings (ended);
CREATE INDEX recordings_of_user ON recordings (user_id, begun) WHERE user_id IS NOT NULL;
CREATE INDEX recordings_of_key ON recordings (key_id, begun) WHERE key_id IS NOT NULL;
CREATE INDEX recordings_of_session ON recordings (session_id);

CREATE TABLE recording_rows (
    lease_id         uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    number           integer NOT NULL CHECK (number > 0),
    began            timestamptz NOT NULL,
    duration_ms      double precision NOT NULL,
    what             text NOT NULL,             -- core.recording.rows.What
    said             text NOT NULL,             -- the same as a sentence
    who              text NOT NULL,             -- the caller; empty = the holder of the token of the lease
    details          jsonb NOT NULL,
    code             text,                      -- of its error; null = it succeeded
    error            text,
    picture_left_out text,                      -- why its picture is missing
    PRIMARY KEY (lease_id, number)
);

CREATE TABLE recording_pictures (
    lease_id uuid NOT NULL,
    number   integer NOT NULL,
    width    integer NOT NULL,
    height   integer NOT NULL,
    data     bytea NOT NULL,
    PRIMARY KEY (lease_id, number),
    FOREIGN KEY (lease_id, number) REFERENCES recording_rows ON DELETE CASCADE
);
-- A PNG is compressed already. PostgreSQL 15 does not accept STORAGE in CREATE TABLE.
ALTER TABLE recording_pictures ALTER COLUMN data SET STORAGE EXTERNAL;

-- Triggers write the events of the lease, in the transaction of the change: Managers end leases, too.
CREATE FUNCTION record_event(of_lease uuid, what text, said text, details jsonb) RETURNS void LANGUAGE sql AS $$
    WITH counted AS (UPDATE recordings r SET rows = rows + 1 WHERE r.lease_id = of_lease RETURNING r.lease_id, r.rows)
    INSERT INTO recording_rows (lease_id, number, began, duration_ms, what, said, who, details)
    SELECT c.lease_id, c.rows, clock_timestamp(), 0, record_event.what, record_event.said, '', record_event.details
      FROM counted c
$$;

CREATE FUNCTION recording_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recordings (lease_id, session_id, user_id, key_id, holder, image_friendly_name, zone_name, record,
                            record_text, required)
    SELECT NEW.lease_id, NEW.session_id, s.user_id, NEW.key_id, NEW.holder, coalesce(i.friendly_name, ''),
           coalesce(z.zone_name, ''), NEW.record, NEW.record_text, NEW.record_required
      FROM sessions s LEFT JOIN images i USING (image_id) LEFT JOIN zones z ON z.zone_id = s.zone_id
     WHERE s.session_id = NEW.session_id
    ON CONFLICT DO NOTHING;
    PERFORM record_event(NEW.lease_id, 'granted', 'The lease was granted to ' || NEW.holder || '.', '{}');
    RETURN NULL;
END $$;
CREATE TRIGGER recording_begins AFTER INSERT ON leases FOR EACH ROW
    WHEN (NEW.record <> 'none') EXECUTE FUNCTION recording_begins();

CREATE FUNCTION recording_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE recordings SET session_id = NEW.session_id WHERE lease_id = NEW.lease_id;
    PERFORM record_event(NEW.lease_id, 'moved', 'Another session took the place of a failed one.',
                         jsonb_build_object('session_id', NEW.session_id));
    RETURN NULL;
END $$;
CREATE TRIGGER recording_moves AFTER UPDATE OF session_id ON leases FOR EACH ROW
    WHEN (NEW.record <> 'none' AND NEW.session_id <> OLD.session_id) EXECUTE FUNCTION recording_moves();

CREATE FUNCTION recording_ends() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE of_lease uuid;
BEGIN
    IF session_is_over(NEW) AND NOT session_is_over(OLD) THEN
        UPDATE recordings r SET ended = clock_timestamp() FROM leases l
         WHERE l.session_id = NEW.session_id AND l.record <> 'none' AND r.lease_id = l.lease_id AND r.ended IS NULL
        RETURNING r.lease_id INTO of_lease;
        IF FOUND THEN
            PERFORM record_event(of_lease, 'ended', 'The lease is over: ' || rtrim(coalesce(
                CASE WHEN NEW.status = 'failed' THEN NEW.error ELSE NEW.ended_reason END,
                'its session ends'), '.') || '.', '{}');
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER recording_ends AFTER UPDATE OF status, gave_up ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND NEW.status IN ('failed', 'deleting', 'deleted'))
    EXECUTE FUNCTION recording_ends();

CREATE FUNCTION recording_changes_hands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM record_event(NEW.lease_id, 'control', NEW.said || '.', jsonb_build_object('term', NEW.term,
        'holder', CASE WHEN NEW.viewer = '' THEN 'program' ELSE 'person' END));
    RETURN NULL;
END $$;
CREATE TRIGGER recording_changes_hands AFTER INSERT ON lease_controls FOR EACH ROW
    EXECUTE FUNCTION recording_changes_hands();
