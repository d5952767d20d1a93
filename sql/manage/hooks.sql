-- Hooks with what is to be said of them. `known` stands before this: all hooks, of the file ($1) and of the table.
page as (
    select *
    from known
    where ($2::text is null or owner = $2)
        and ($3::text is null or id = $3)
        and ($4::text is null or event = $4)
        -- Numbers in their order, and everything else in some order.
        and ($5::text is null or (length(id), id collate "C") > (length($5), $5 collate "C"))
    order by length(id), id collate "C"
    limit $6
)

select
    page.*,
    failing.since as failing_since,
    waiting.parked,
    waiting.dead,
    last.started_at as last_at,
    last.delivered as last_delivered,
    last.answer as last_answer
from page
left join failing on failing.hook = page.id
cross join lateral (
    select
        count(*) filter (where state = 'parked') as parked,
        count(*) filter (where state = 'dead') as dead
    from delivery
    where delivery.hook = page.id
) as waiting
left join lateral (
    select started_at, delivered, coalesce(status::text, error) as answer
    from attempt
    where attempt.hook = page.id
    order by id desc
    limit 1
) as last on true
order by length(page.id), page.id collate "C"
