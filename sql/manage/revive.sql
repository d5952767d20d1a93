-- Parks dead deliveries, so that they are sent again: the $5 that were committed first, of a hook ($1), given up from a
-- time ($2) until another ($3), of an event ($4), with one of these ids ($6), or of an owner ($7), each where it is given. The trigger of
-- migration 0010 notifies a running rowhook.
with chosen as (
    select id
    from delivery
    where state = 'dead'
        and ($1::text is null or hook = $1)
        and ($2::timestamptz is null or updated_at >= $2)
        and ($3::timestamptz is null or updated_at < $3)
        and ($4::text is null or event = $4)
        and ($6::text[] is null or id = any($6))
        and ($7::text is null or owner = $7 or owner is null and not everyones)
    order by commit_lsn, event_index
    limit $5
    for update skip locked
)
update delivery
set
    state = 'parked',
    attempts = 0,
    next_attempt = null,
    updated_at = clock_timestamp()
from chosen
where delivery.id = chosen.id
returning delivery.id
