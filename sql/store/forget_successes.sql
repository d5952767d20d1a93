-- Deletes all but the last $2 successes of each of these hooks ($1).
delete from attempt
using (
    select touched.hook, oldest.id
    from unnest($1::text[]) as touched (hook)
    cross join lateral (
        -- The newest success that is one too many.
        select candidate.id
        from attempt as candidate
        where candidate.hook = touched.hook
            and candidate.delivered
        order by candidate.id desc
        offset $2
        limit 1
    ) as oldest
) as surplus
where attempt.hook = surplus.hook
    and attempt.delivered
    and attempt.id <= surplus.id
