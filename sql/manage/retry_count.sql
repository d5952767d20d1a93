-- Counts what a retry of many would send again, by state: see retry_some.sql.
select
    count(*) filter (where state = 'parked') as parked,
    count(*) filter (where state = 'dead') as dead
from delivery
where (state = 'dead' or state = 'parked' and next_attempt > clock_timestamp() and not claimed)
    and ($1::text is null or hook = $1)
    and ($2::text is null or state = $2)
    and ($3::text is null or event = $3)
    and ($4::timestamptz is null or created_at >= $4)
    and created_at < $5
    and ($6::bigint[] is null or about && $6)
    and ($7::text is null or owner = $7 or owner is null and not everyones)
