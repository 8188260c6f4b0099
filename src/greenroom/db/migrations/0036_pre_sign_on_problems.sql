-- Providers and directories through which no user can log in, for the page Today. A separate table, because a change of
-- the row of a provider discards its cached keys.
CREATE TABLE sign_on_problems (
    source_id uuid PRIMARY KEY,                 -- a sign-on provider or a directory
    problem   text NOT NULL,
    since     timestamptz NOT NULL DEFAULT now()
);
