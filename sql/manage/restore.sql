-- Makes rows of deliveries that were delivered, so that they can be sent again: those of a hook ($1), delivered from a
-- time ($2) until another ($3), of an event ($4), with an id ($7), or of an owner ($8), each where it is given. Looks at no more than $6
-- attempts, those after the id $5. Returns the ids of the new rows and the last attempt that was looked at.

-- The attempts that delivered them.
with found as (
    select *
    from attempt
    where delivered
        and ($1::text is null or hook = $1)
        and ($2::timestamptz is null or started_at >= $2)
        and ($3::timestamptz is null or started_at < $3)
        and ($4::text is null or event = $4)
        and ($7::text is null or delivery = $7)
        and ($8::text is null or owner = $8 or owner is null and not everyones)
        and id > $5
    order by id
    limit $6
),

-- The rows are dead at first. Reviving them is what the trigger of migration 0010 notifies a running rowhook of.
restored as (
    insert into delivery (
        id, hook, event, owner, everyones, state, reason, attempts, lane, other_lane,
        commit_lsn, event_index, commit_time, body, content_type, about
    )
    select distinct on (delivery)
        delivery, hook, event, owner, everyones, 'dead', 'to be sent again', 0, lane, other_lane,
        commit_lsn, event_index, commit_time,
        request_body,
        -- What was sent as part of a CloudEvents batch is sent alone, or in another batch.
        replace(coalesce(request_headers ->> 'content-type', 'application/json'), 'cloudevents-batch', 'cloudevents'),
        about
    from found
    where commit_lsn is not null
        and request_body is not null
    order by delivery, id desc
    on conflict (id) do nothing
    returning id
)

select
    (select coalesce(array_agg(id), '{}') from restored) as restored,
    max(id) as last,
    count(*) filter (where commit_lsn is null or request_body is null) as unrecorded
from found
