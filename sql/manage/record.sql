-- Puts deliveries on record again that have arrived, at most so many ($6), so that they can be sent again: those of a
-- hook ($1), delivered since a time ($2) and until another ($3), of an event ($4), later in history than what was looked at
-- before ($5), or one of them by its id ($7). Says what was put, and the last that was looked at.
with found as (
    select *
    from attempt
    where delivered
        and ($1::text is null or hook = $1)
        and ($2::timestamptz is null or started_at >= $2)
        and ($3::timestamptz is null or started_at < $3)
        and ($4::text is null or event = $4)
        and ($7::text is null or delivery = $7)
        and id > $5
    order by id
    limit $6
),

-- Dead at first: a delivery that comes to life is what the trigger of 0010 tells a running rowhook.
put as (
    insert into delivery (
        id, hook, event, state, reason, attempts, lane, other_lane, commit_lsn, event_index, commit_time, body, content_type
    )
    select distinct on (delivery)
        delivery, hook, event, 'dead', 'to be sent again', 0, lane, other_lane, commit_lsn, event_index, commit_time,
        request_body,
        -- What was sent in an array of CloudEvents goes alone again, or in another array.
        replace(coalesce(request_headers ->> 'content-type', 'application/json'), 'cloudevents-batch', 'cloudevents')
    from found
    where commit_lsn is not null
        and request_body is not null
    order by delivery, id desc
    on conflict (id) do nothing
    returning id
)

select
    (select coalesce(array_agg(id), '{}') from put) as put,
    max(id) as last,
    count(*) filter (where commit_lsn is null or request_body is null) as unrecorded
from found
