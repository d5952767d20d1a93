-- Deliveries, newest first: those that are parked or dead and, as far as history goes back, those that were delivered.
-- Limited to an owner ($2), a hook ($3), an id ($4), a state ($5), an event ($6), two times ($10, $11) or a row ($12, by
-- what it is known), each where it is given, and to what comes after a position in the list ($7, $8), up to another one
-- ($13, $14). An owner's are those that were theirs when they happened, whoever has the hook now. `all_hooks` stands
-- before this: the hooks of hooks.toml ($1) and those of the hook table.

-- The owner's hooks. Older deliveries have noted nothing else.
mine as (
    select id
    from all_hooks
    where owner = $2
        and not shadowed
),

-- Parked and dead ones are rows of their own.
kept as (
    select
        id, hook, event, owner, everyones, state, reason, attempts, next_attempt, claimed, commit_time,
        commit_lsn, event_index, created_at as at
    from delivery
    where ($2::text is null or owner = $2 or owner is null and not everyones and hook in (select id from mine))
        -- The states are all that there are. Each has an index by hooks, which finds the few of one among those of all.
        and ($3::text is null or hook = $3 and (state = 'parked' or state = 'dead'))
        and ($4::text is null or id = $4)
        and ($5::text is null or state = $5)
        and ($6::text is null or event = $6)
        and ($7::timestamptz is null or (created_at, id) < ($7, $8::text))
        and ($10::timestamptz is null or created_at >= $10)
        and ($11::timestamptz is null or created_at < $11)
        and ($12::bigint[] is null or about && $12)
        and ($13::timestamptz is null or (created_at, id) >= ($13, $14::text))
    order by created_at desc, id desc
    limit $9
),

-- Delivered ones are known from their last attempt.
arrived as (
    select
        delivery as id, hook, event, owner, everyones, 'delivered' as state, null as reason, number as attempts,
        null::timestamptz as next_attempt, false as claimed, commit_time,
        commit_lsn, event_index, started_at as at
    from attempt
    where delivered
        and coalesce($5, 'delivered') = 'delivered'
        and ($2::text is null or owner = $2 or owner is null and not everyones and hook in (select id from mine))
        and ($3::text is null or hook = $3)
        and ($4::text is null or delivery = $4)
        and ($6::text is null or event = $6)
        and ($7::timestamptz is null or (started_at, delivery) < ($7, $8::text))
        and ($10::timestamptz is null or started_at >= $10)
        and ($11::timestamptz is null or started_at < $11)
        and ($12::bigint[] is null or about && $12)
        and ($13::timestamptz is null or (started_at, delivery) >= ($13, $14::text))
        -- A delivery that is being sent again is listed as what it is now, and one that was delivered twice is listed
        -- once.
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
    id, hook, event, owner, everyones, state, reason, attempts, next_attempt, claimed, commit_time,
    commit_lsn::text as commit_lsn, event_index, at
from (
    select * from kept
    union all
    select * from arrived
) as both_kinds
order by at desc, id desc
limit $9
