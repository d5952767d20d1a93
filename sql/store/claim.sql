-- Claims what is due of a hook ($1), what has waited longest first, up to $2 deliveries and $4 bytes. Of a lane, only
-- the first is due. For a name ($6) that is not that of the holder of the slot ($5), nothing is; in a cluster, for one
-- that is not the epoch of the partition ($9). Claims are leases of
-- $3 seconds: what a crash leaves behind is due again when its lease ends. A body of more than $7 bytes is not
-- returned. What was due before $8, if that is not null, is passed over.
with due as (
    select id, next_attempt, octet_length(body) as bytes
    from delivery
    where hook = $1
        and state = 'parked'
        -- This is the same for all rows, and so ends the scan of the index.
        and next_attempt <= statement_timestamp()
        and next_attempt >= coalesce($8, '-infinity'::timestamptz)
        and (
            exists (select from holder where slot = $5 and name = $6)
            or exists (select from partition where slot = $5 and epoch::text = $6 and number = $9::integer)
        )
    order by next_attempt
    limit $2
    for update skip locked
),

-- The sums up to each of them.
counted as (
    select
        id,
        sum(bytes) over (order by next_attempt, id rows unbounded preceding) as bytes
    from due
)

update delivery
set
    next_attempt = clock_timestamp() + make_interval(secs => $3),
    claimed = true
from counted
where delivery.id = counted.id
    and counted.bytes <= $4
returning
    delivery.id,
    delivery.event,
    delivery.attempts,
    delivery.owner,
    delivery.everyones,
    -- Somebody who sets the attempts to none starts the schedule over.
    case when delivery.attempts > 0 then delivery.waited_ms else 0 end as waited_ms,
    delivery.lane,
    delivery.other_lane,
    delivery.commit_lsn::text as commit_lsn,
    delivery.event_index,
    delivery.commit_time,
    case when octet_length(delivery.body) <= $7::bigint then delivery.body end as body,
    delivery.content_type,
    delivery.question::text as question,
    delivery.about
