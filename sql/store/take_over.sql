-- Makes us ($2) the holder of slot $1, and makes due at once what an earlier one has claimed: only the holder claims.
with holding as (
    insert into holder (slot, name)
    values ($1, $2)
    on conflict (slot) do update
    set
        name = excluded.name,
        since = clock_timestamp()
)

update delivery
set
    next_attempt = clock_timestamp(),
    claimed = false
where claimed
