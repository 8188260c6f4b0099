-- A new record is looked at for its own zone alone: one zone that was left without an enabled Manager before the database
-- refused that (by TRUNCATE) keeps no Manager from registering, in it or elsewhere.
CREATE FUNCTION managers_insert_an_enabled_one() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE zone text;
BEGIN
    SELECT z.zone_name INTO zone FROM zones z WHERE z.zone_id IN (SELECT i.zone_id FROM inserted i)
       AND NOT EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'zone % would be left without an enabled Manager; enable another Manager of the zone first', zone
            USING ERRCODE = '23514', CONSTRAINT = 'last-enabled-manager';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER managers_2_keep_inserted ON managers;
CREATE TRIGGER managers_2_keep_inserted AFTER INSERT ON managers REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION managers_insert_an_enabled_one();
