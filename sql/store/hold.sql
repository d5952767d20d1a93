-- Makes us ($2) the holder of slot $1. It waits for a transaction of an earlier holder that parks.
insert into holder (slot, name)
values ($1, $2)
on conflict (slot) do update
set
    name = excluded.name,
    since = clock_timestamp()
