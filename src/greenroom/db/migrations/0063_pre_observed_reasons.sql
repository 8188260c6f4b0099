-- What an Agent saw of a session is kept whole, so that whoever decides again decides on the same as the commit did:
-- why a start failed, and how a hand-over ended.
ALTER TABLE session_observed
    ADD COLUMN broken boolean NOT NULL DEFAULT false,
    ADD COLUMN error text NOT NULL DEFAULT '',
    ADD COLUMN assignment_id uuid,
    ADD COLUMN handover text,
    ADD COLUMN handover_error text NOT NULL DEFAULT '',
    ADD COLUMN handover_slow boolean NOT NULL DEFAULT false;
