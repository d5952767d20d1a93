-- Backfills, newest first, and at most $10: in a state ($2), of an event ($3), of one of the events of a table ($4),
-- for a hook ($5), for hooks of an owner ($6), and begun between two times ($7, $8), each where it is given; before the
-- one of a number ($9). `all_hooks` stands before this: the hooks of hooks.toml ($1) and those of the hook table.
wanted as (
    select *
    from backfill
    where ($2::text is null or state = $2)
        and ($3::text is null or event = $3)
        and ($4::text[] is null or event = any ($4))
        and ($5::text is null or hook = $5)
        and ($6::text is null or hook in (select id from all_hooks where owner = $6 and not shadowed))
        and ($7::timestamptz is null or created_at >= $7)
        and ($8::timestamptz is null or created_at < $8)
        and ($9::bigint is null or id < $9)
)

select *
from wanted
order by id desc
limit $10
