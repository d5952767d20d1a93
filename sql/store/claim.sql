-- Takes what is due of a hook, what has waited longest first, up to so many deliveries ($2) and bytes ($4), but one at least: of
-- a lane only the first is due; to one who does not hold the slot ($5, $6) nothing is. It is lent, not removed: what a crash
-- leaves behind is due again when the lease is over.
with due as (
    select id, next_attempt, octet_length(body) as bytes
    from delivery
    where hook = $1
        and state = 'parked'
        and next_attempt <= clock_timestamp()
        and exists (select from holder where slot = $5 and name = $6)
    order by next_attempt
    limit $2
    for update skip locked
),

-- How much there is up to each of them.
counted as (
    select
        id,
        row_number() over so_far as number,
        sum(bytes) over so_far as bytes
    from due
    window so_far as (order by next_attempt, id rows unbounded preceding)
)

update delivery
set
    next_attempt = clock_timestamp() + make_interval(secs => $3),
    claimed = true
from counted
where delivery.id = counted.id
    and (counted.number = 1 or counted.bytes <= $4)
returning
    delivery.id,
    delivery.event,
    delivery.attempts,
    delivery.lane,
    delivery.other_lane,
    delivery.commit_lsn::text as commit_lsn,
    delivery.event_index,
    delivery.commit_time,
    delivery.body,
    delivery.content_type,
    delivery.question::text as question
