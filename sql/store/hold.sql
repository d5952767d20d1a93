-- Makes us ($2) the holder of a slot ($1). Waits for a transaction in which an earlier holder parks.
insert into holder (slot, name)
values ($1, $2)
on conflict (slot) do update
set
    name = excluded.name,
    since = clock_timestamp()
