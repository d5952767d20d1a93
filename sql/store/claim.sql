-- Takes what is due of a hook, what has waited longest first: of a lane only the first is due. It is lent, not removed: what a crash leaves behind is due again when the
-- lease is over.
with due as (
    select id
    from delivery
    where hook = $1
        and state = 'parked'
        and next_attempt <= clock_timestamp()
    order by next_attempt
    limit $2
    for update skip locked
)
update delivery
set
    next_attempt = clock_timestamp() + make_interval(secs => $3),
    claimed = true
from due
where delivery.id = due.id
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
    delivery.content_type
