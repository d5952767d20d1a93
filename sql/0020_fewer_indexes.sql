-- What an endpoint that fails costs the database is mostly the upkeep of indexes. Two of them are read once a minute, for what is
-- too old to keep, and do not need every row.

-- Of what is parked, only that of hooks which are disabled or gone is forgotten; delivery_in_lane finds it by its hook.
drop index delivery_age;
create index delivery_age on delivery (updated_at)
    where state = 'dead';

-- Attempts are numbered as they are written: the oldest are the first by their key.
drop index attempt_started;
