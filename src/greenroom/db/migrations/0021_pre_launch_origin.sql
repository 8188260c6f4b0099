-- What the search for another session needs when the first one fails: where the launch began, and the host it came to
-- ($request_host$ of other zones). NULL: written by the version before; the zone of the failed session stands for it.
ALTER TABLE launches
    ADD COLUMN current_zone_id uuid,
    ADD COLUMN request_host    text NOT NULL DEFAULT '';
