-- Whether room that comes free on the zone's hosts may help who waits; otherwise a machine of one of its pools alone does.
ALTER TABLE launches_waiting ADD COLUMN room_helps boolean NOT NULL DEFAULT true;
