-- Deliveries, newest first: those that are parked or dead, and of the delivered ones those that history remembers.
-- `known` stands before this: all hooks, of the file ($1) and of the table.
mine as (
    select id
    from known
    where owner = $2
),

kept as (
    select
        id, hook, event, state, reason, attempts, next_attempt, claimed, commit_time,
        commit_lsn, event_index, created_at as at
    from delivery
    where ($2::text is null or hook in (select id from mine))
        and ($3::text is null or hook = $3)
        and ($4::text is null or id = $4)
        and ($5::text is null or state = $5)
        and ($6::text is null or event = $6)
        and ($7::timestamptz is null or (created_at, id) < ($7, $8::text))
    order by created_at desc, id desc
    limit $9
),

arrived as (
    select
        delivery as id, hook, event, 'delivered' as state, null as reason, number as attempts,
        null::timestamptz as next_attempt, false as claimed, commit_time, commit_lsn, event_index, started_at as at
    from attempt
    where delivered
        and coalesce($5, 'delivered') = 'delivered'
        and ($2::text is null or hook in (select id from mine))
        and ($3::text is null or hook = $3)
        and ($4::text is null or delivery = $4)
        and ($6::text is null or event = $6)
        and ($7::timestamptz is null or (started_at, delivery) < ($7, $8::text))
        -- One that is sent again is what it is now, and one that has arrived twice is shown once.
        and not exists (select from delivery as again where again.id = attempt.delivery)
        and not exists (
            select
            from attempt as later
            where later.delivery = attempt.delivery
                and later.delivered
                and later.id > attempt.id
        )
    order by started_at desc, delivery desc
    limit $9
)

select
    id, hook, event, state, reason, attempts, next_attempt, claimed, commit_time,
    commit_lsn::text as commit_lsn, event_index, at
from (
    select * from kept
    union all
    select * from arrived
) as both_kinds
order by at desc, id desc
limit $9
