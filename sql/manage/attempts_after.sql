-- Attempts with ids after $4, oldest first, of an owner ($2) or a hook ($3) where they are given. Those of an owner are
-- those of deliveries that were theirs, whoever has the hook now. `all_hooks` stands
-- before this: the hooks of hooks.toml ($1) and those of the hook table.

-- The owner's hooks. Older attempts have noted nothing else.
mine as (
    select id
    from all_hooks
    where owner = $2
        and not shadowed
)

select
    attempt.id, started_at, attempt.hook, attempt.event, delivery, number, delivered, took_ms,
    coalesce(status::text, error) as answer
from attempt
where attempt.id > $4
    and (
        $2::text is null
        or attempt.owner = $2
        or attempt.owner is null and not attempt.everyones and attempt.hook in (select id from mine)
    )
    and ($3::text is null or attempt.hook = $3)
order by attempt.id
limit 500
