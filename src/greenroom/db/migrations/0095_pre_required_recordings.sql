-- Whether a group of the user requires the pictures of a recording. Those that its holder only wished have a part of the store.
ALTER TABLE leases ADD COLUMN record_required boolean NOT NULL DEFAULT false;
ALTER TABLE recordings ADD COLUMN required boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION recording_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recordings (lease_id, session_id, user_id, key_id, holder, image_friendly_name, zone_name, record, record_text,
                            required)
    SELECT NEW.lease_id, NEW.session_id, s.user_id, NEW.key_id, NEW.holder, coalesce(i.friendly_name, ''),
           coalesce(z.zone_name, ''), NEW.record, NEW.record_text, NEW.record_required
      FROM sessions s LEFT JOIN images i USING (image_id) LEFT JOIN zones z ON z.zone_id = s.zone_id
     WHERE s.session_id = NEW.session_id
    ON CONFLICT DO NOTHING;
    PERFORM record_event(NEW.lease_id, 'granted', 'The lease was granted to ' || NEW.holder || '.', '{}');
    RETURN NULL;
END $$;
