-- Time series (core/series/points.py): points of 1 minute, 15 minutes and 2 hours, which are deleted after 49 hours,
-- 15 days and 91 days. `step_s` is the length of a point in seconds, `begin` its beginning. `samples` is the number of
-- samples of a point; a column that is not a minimum or maximum is the sum over these samples. The ids have no foreign
-- keys: the past of a deleted zone or pool remains part of the totals.

CREATE TABLE series_zones (
    step_s            integer NOT NULL,
    begin             timestamptz NOT NULL,
    zone_id           uuid NOT NULL,
    samples           integer NOT NULL,
    cores_offered     double precision NOT NULL,    -- by enabled, running Agents
    cores_reserved    double precision NOT NULL,
    cores_free_low    double precision NOT NULL,    -- minimum
    memory_offered    bigint NOT NULL,              -- bytes
    memory_reserved   bigint NOT NULL,
    memory_free_low   bigint NOT NULL,              -- minimum
    sessions_running  bigint NOT NULL,              -- of users
    sessions_starting bigint NOT NULL,
    sessions_stopped  bigint NOT NULL,              -- stopped or paused
    sessions_failed   bigint NOT NULL,              -- failed, lost or unreachable
    sessions_staged   bigint NOT NULL,              -- of no user
    elections         integer NOT NULL,             -- new Primaries since the sample before
    term              bigint NOT NULL,              -- maximum
    PRIMARY KEY (step_s, begin, zone_id)
);
CREATE INDEX series_zones_zone ON series_zones (zone_id, begin);

CREATE TABLE series_pools (
    step_s            integer NOT NULL,
    begin             timestamptz NOT NULL,
    zone_id           uuid NOT NULL,
    staging_config_id uuid NOT NULL,
    samples           integer NOT NULL,
    ready             bigint NOT NULL,
    ready_low         integer NOT NULL,             -- minimum
    starting          bigint NOT NULL,
    desired           bigint NOT NULL,              -- 0 while the config is paused
    PRIMARY KEY (step_s, begin, staging_config_id)
);
CREATE INDEX series_pools_config ON series_pools (staging_config_id, step_s, begin);

-- Launches, counted in the ledger. A minute is counted again until its launches cannot change.
CREATE TABLE series_launches (
    step_s      integer NOT NULL,
    begin       timestamptz NOT NULL,
    zone_id     uuid,                               -- null = the zone of a failed launch was deleted or renamed
    outcome     text NOT NULL,
    wait_bucket smallint NOT NULL,                  -- core/series/waits.py; -1 = unknown
    launches    integer NOT NULL,
    CONSTRAINT series_launches_unique UNIQUE NULLS NOT DISTINCT (step_s, begin, zone_id, outcome, wait_bucket)
);

-- The end of the final points of each resolution. No row before the first round.
CREATE TABLE series_done (
    step_s integer PRIMARY KEY,
    done   timestamptz NOT NULL
);
