-- Hooks, each with how it is doing: those of hooks.toml ($1) in the order of their names, and then those of the table
-- in the order of their ids, which its index has. Limited to an owner ($2), an id ($3), an event ($4) or a state ($7),
-- each where it is given, and to what comes after an id of the table ($5) or a name of hooks.toml ($8). For an owner,
-- only deliveries count that are theirs.
with file_hooks as (
{file_hooks}
),

of_file as (
    select *, false as shadowed
    from file_hooks
    where ($2::text is null or owner = $2)
        and ($3::text is null or id = $3)
        and ($4::text is null or event = $4 or events ? $4)
        and (
            $7::text is null
            or $7 = case
                when invalid is not null then 'invalid'
                when id in (select hook from failing) then 'failing'
                else 'active'
            end
        )
        and $5::text is null
        and ($8::text is null or (length(id), id collate "C") > (length($8), $8 collate "C"))
    order by length(id), id collate "C"
    limit $6
),

-- Taken from the index until there are enough. A row is `shadowed` where its id is the name of a hook of the file.
of_table as (
    select *
    from (
        select rows_of_table.*, id in (select id from file_hooks) as shadowed
        from (
{rows}
        ) as rows_of_table
    ) as with_shadows
    where ($2::text is null or owner = $2)
        and ($4::text is null or event = $4 or events ? $4)
        and (
            $7::text is null
            or $7 = case
                when invalid is not null then 'invalid'
                when not active then 'disabled'
                when not shadowed and id in (select hook from failing) then 'failing'
                else 'active'
            end
        )
    order by place
    limit $6
),

page as (
    select {columns}, shadowed, 0 as part, row_number() over (order by length(id), id collate "C") as number
    from of_file
    union all
    select {columns}, shadowed, 1 as part, row_number() over (order by place) as number
    from of_table
    order by part, number
    limit $6
)

select
    page.id, page.origin, page.owner, page.active, page.signed, page.invalid, page.disabled_at, page.disabled_reason,
    page.created_at, page.updated_at,
    -- Rows of a table of the application may hold what no hook may have.
    left(page.event, 1024) as event,
    left(page.target, 8192) as target,
    left(page.filter, 16384) as filter,
    left(page.payload, 1024) as payload,
    case when length(page.headers) <= 1048576 then page.headers end as headers,
    left(page.content, 1024) as content,
    left(page.content_type, 1024) as content_type,
    left(page.rate, 1024) as rate,
    left(page.user_agent, 1024) as user_agent,
    left(page.certificate, 1024) as certificate,
    left(page.compress, 1024) as compress,
    left(page.template, 16384) as template,
    case when length(page.events::text) <= 131072 then page.events::text end as events,
    left(page.method, 1024) as method,
    case when length(page.auth) <= 16384 then page.auth end as auth,
    left(page.timeout, 1024) as timeout,
    case when length(page.retries) <= 4096 then page.retries end as retries,
    left(page."order", 1024) as "order",
    left(page.concurrency, 1024) as concurrency,
    case when length(page.batch) <= 1024 then page.batch end as batch,
    left(page.max_body, 1024) as max_body,
    left(page.disable_after, 1024) as disable_after,
    case when length(page.signature) <= 1024 then page.signature end as signature,
    left(page.description, 16384) as description,
    failing.since as failing_since,
    waiting.parked,
    waiting.dead,
    due.next_attempt,
    due.reason as due_reason,
    last.started_at as last_at,
    last.delivered as last_delivered,
    last.answer as last_answer
from page
left join failing on failing.hook = page.id and not page.shadowed
cross join lateral (
    select
        count(*) filter (where state = 'parked') as parked,
        count(*) filter (where state = 'dead') as dead
    from delivery
    where delivery.hook = page.id
        and not page.shadowed
        and ($2::text is null or delivery.owner = $2 or delivery.owner is null and not delivery.everyones)
) as waiting
-- What goes next.
left join lateral (
    select next_attempt, reason
    from delivery
    where delivery.hook = page.id
        and not page.shadowed
        and state = 'parked'
        and next_attempt is not null
        and not claimed
        and ($2::text is null or delivery.owner = $2 or delivery.owner is null and not delivery.everyones)
    order by next_attempt
    limit 1
) as due on true
left join lateral (
    select started_at, delivered, coalesce(status::text, error) as answer
    from attempt
    where attempt.hook = page.id
        and not page.shadowed
        and ($2::text is null or attempt.owner = $2 or attempt.owner is null and not attempt.everyones)
    order by id desc
    limit 1
) as last on true
order by page.part, page.number
