-- Forgets all but the last successes of some hooks.
delete from attempt
using (
    select touched.hook, oldest.id
    from unnest($1::text[]) as touched (hook)
    cross join lateral (
        -- The newest of those that are one too many.
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
