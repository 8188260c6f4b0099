-- Who controls a leased session: a row for each time it changed hands, the last one is in force (core.lease). Without
-- a row the program does. `until` is set on a person's last row alone: then control is the program's again.
CREATE TABLE lease_controls (
    lease_id      uuid NOT NULL REFERENCES leases ON DELETE CASCADE,
    term          integer NOT NULL CHECK (term > 0),
    viewer        text NOT NULL,        -- whose input passes: user, or the id of a viewer; empty = the program's
    name          text NOT NULL,        -- the person's, empty = the program's
    since         timestamptz NOT NULL DEFAULT clock_timestamp(),
    until         timestamptz,
    said          text NOT NULL,        -- who changed it, as a sentence
    PRIMARY KEY (lease_id, term)
);
CREATE INDEX lease_controls_held ON lease_controls (until) WHERE until IS NOT NULL;
