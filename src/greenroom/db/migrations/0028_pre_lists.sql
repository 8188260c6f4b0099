-- The choices of a user for the lists of the console: list -> {columns, views}; and the form of times.

ALTER TABLE user_attributes ADD COLUMN lists jsonb NOT NULL DEFAULT '{}';
ALTER TABLE user_attributes ADD COLUMN times text;       -- null = relative

-- The last values that the page of a session reported: its round trip, and the address of its browser.

ALTER TABLE sessions ADD COLUMN round_trip_ms real;
ALTER TABLE sessions ADD COLUMN client_address text;

-- The use of the sessions of an Agent: session -> the last report. It is not in `agents`, whose rows each launch reads.

CREATE TABLE agent_session_use (
    agent_id uuid PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    sessions jsonb NOT NULL
);
