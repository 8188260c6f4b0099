-- What programs did on leased desktops (ADR 84). A recording outlives its lease and its session, so it names what it has to
-- without a foreign key; with its user it is deleted.
ALTER TABLE leases
    ADD COLUMN record      text NOT NULL DEFAULT 'none' CHECK (record IN ('none', 'actions', 'pictures')),
    ADD COLUMN record_text boolean NOT NULL DEFAULT false;

CREATE TABLE recordings (
    lease_id      uuid PRIMARY KEY,
    session_id    uuid NOT NULL,            -- the last one, where one took the place of another
    user_id       uuid REFERENCES users ON DELETE CASCADE,
    key_id        text,                     -- the API key that held the lease; null = its user did
    holder        text NOT NULL,
    image_friendly_name text NOT NULL,
    zone_name     text NOT NULL,
    record        text NOT NULL CHECK (record IN ('actions', 'pictures')),
    record_text   boolean NOT NULL,
    begun         timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended         timestamptz,
    rows          integer NOT NULL DEFAULT 0,       -- its rows are numbered 1 to this
    rows_left_out integer NOT NULL DEFAULT 0,
    pictures      integer NOT NULL DEFAULT 0,
    pictures_left_out integer NOT NULL DEFAULT 0,
    picture_bytes bigint NOT NULL DEFAULT 0
);
CREATE INDEX recordings_begun ON recordings (begun, lease_id);
CREATE INDEX recordings_ended ON recordings (ended);
CREATE INDEX recordings_of_user ON recordings (user_id, begun) WHERE user_id IS NOT NULL;
CREATE INDEX recordings_of_key ON recordings (key_id, begun) WHERE key_id IS NOT NULL;
CREATE INDEX recordings_of_session ON recordings (session_id);

CREATE TABLE recording_rows (
    lease_id    uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    number      integer NOT NULL CHECK (number > 0),
    began       timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    what        text NOT NULL,              -- core.recording.rows.What
    said        text NOT NULL,              -- the same as a sentence
    who         text NOT NULL,              -- who asked for it; empty = who had the lease's token
    details     jsonb NOT NULL,
    code        text,                       -- null = it was done
    error       text,
    picture_left_out text,                  -- why there is none, where one belongs to it
    PRIMARY KEY (lease_id, number)
);

CREATE TABLE recording_pictures (
    lease_id    uuid NOT NULL,
    number      integer NOT NULL,
    width       integer NOT NULL,
    height      integer NOT NULL,
    data        bytea NOT NULL,             -- PNG
    PRIMARY KEY (lease_id, number),
    FOREIGN KEY (lease_id, number) REFERENCES recording_rows ON DELETE CASCADE
);
ALTER TABLE recording_pictures ALTER COLUMN data SET STORAGE EXTERNAL;      -- it is compressed already

-- Triggers use them from this commit on, and the grants of all tables come after it.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'greenroom_service') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON recordings, recording_rows, recording_pictures TO greenroom_service;
    END IF;
END $$;

-- What becomes of a lease itself is written by triggers, in the transaction in which it happens: Managers end leases, too.
CREATE FUNCTION record_event(of_lease uuid, what text, said text, details jsonb) RETURNS void LANGUAGE sql AS $$
    WITH counted AS (UPDATE recordings r SET rows = rows + 1 WHERE r.lease_id = of_lease RETURNING r.lease_id, r.rows)
    INSERT INTO recording_rows (lease_id, number, began, duration_ms, what, said, who, details)
    SELECT c.lease_id, c.rows, clock_timestamp(), 0, record_event.what, record_event.said, '', record_event.details
      FROM counted c
$$;

CREATE FUNCTION recording_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recordings (lease_id, session_id, user_id, key_id, holder, image_friendly_name, zone_name, record, record_text)
    SELECT NEW.lease_id, NEW.session_id, s.user_id, NEW.key_id, NEW.holder, coalesce(i.friendly_name, ''),
           coalesce(z.zone_name, ''), NEW.record, NEW.record_text
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
                CASE WHEN NEW.status = 'failed' THEN NEW.error ELSE NEW.ended_reason END, 'its session ends'), '.') || '.', '{}');
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER recording_ends AFTER UPDATE OF status, gave_up ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND NEW.status IN ('failed', 'deleting', 'deleted')) EXECUTE FUNCTION recording_ends();

CREATE FUNCTION recording_changes_hands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM record_event(NEW.lease_id, 'control', NEW.said || '.', jsonb_build_object('term', NEW.term,
        'holder', CASE WHEN NEW.viewer = '' THEN 'program' ELSE 'person' END));
    RETURN NULL;
END $$;
CREATE TRIGGER recording_changes_hands AFTER INSERT ON lease_controls FOR EACH ROW
    EXECUTE FUNCTION recording_changes_hands();
