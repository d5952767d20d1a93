-- Sends deliveries again that are dead, or that wait for their next time: of a hook ($1), in a state ($2), of an event
-- ($3), parked from a time ($4) until another ($5), about a row ($6), or of an owner ($7), each where it is given. A step
-- takes $8 of them at most, which come after a position ($9, $10, $11). They are taken in the order in which they were
-- parked: that is the order of each lane, and a walk along an index that goes through them once, whatever else is in the
-- table. The trigger of migration 0010 notifies a running rowhook.
with chosen as (
    select id, state as before, created_at, commit_lsn, event_index
    from delivery
    where (state = 'dead' or state = 'parked' and next_attempt > clock_timestamp() and not claimed)
        and ($1::text is null or hook = $1)
        and ($2::text is null or state = $2)
        and ($3::text is null or event = $3)
        and ($4::timestamptz is null or created_at >= $4)
        and created_at < $5
        and ($6::bigint[] is null or about && $6)
        and ($7::text is null or owner = $7 or owner is null and not everyones)
        and (
            $9::timestamptz is null
            or (created_at, commit_lsn, event_index) > ($9, $10::text::pg_lsn, $11::bigint)
        )
    order by created_at, commit_lsn, event_index
    limit $8
    for update skip locked
)
update delivery
set
    state = 'parked',
    -- The retries of a dead one start over.
    attempts = case when chosen.before = 'dead' then 0 else delivery.attempts end,
    next_attempt = case when chosen.before = 'parked' then clock_timestamp() end,
    updated_at = clock_timestamp()
from chosen
where delivery.id = chosen.id
returning
    delivery.id,
    chosen.before,
    chosen.created_at,
    chosen.commit_lsn::text as commit_lsn,
    chosen.event_index
