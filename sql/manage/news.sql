-- Attempts after a number ($4), of a hook ($3) or of all. `known` stands before this: all hooks, of the file ($1) and of the
-- table.
mine as (
    select id
    from known
    where owner = $2
)

select
    attempt.id, started_at, attempt.hook, attempt.event, delivery, number, delivered, took_ms,
    coalesce(status::text, error) as answer
from attempt
where attempt.id > $4
    and ($2::text is null or attempt.hook in (select id from mine))
    and ($3::text is null or attempt.hook = $3)
order by attempt.id
limit 500
