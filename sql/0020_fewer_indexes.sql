-- Most of what a failing endpoint costs the database is the upkeep of indexes. Two of these are read only once a
-- minute, to find what is too old to keep, and they do not need every row.

-- Of the parked deliveries, only those of hooks that are disabled or gone are deleted. delivery_in_lane finds them by
-- hook.
drop index delivery_age;
create index delivery_age on delivery (updated_at)
    where state = 'dead';

-- Attempts are numbered in the order in which they are written, so the primary key finds the oldest.
drop index attempt_started;
