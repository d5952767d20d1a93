-- Acts on record, newest first, or oldest first: those that an owner ($1) may see, or all; of an owner ($2); on a hook
-- ($3); of a name, or of names that begin alike ($4); between two times ($5, $6); before an act ($7) or after it ($8);
-- and at most $9.
select
    id,
    at,
    actor,
    actor_owner,
    case when $1::text is null or actor_owner = $1 then token end as token,
    case when $1::text is null or actor_owner = $1 then address end as address,
    via,
    what,
    hook,
    delivery,
    event,
    owner,
    -- What a hook was with its former owner is none of the next one's business.
    case when $1::text is null or not coalesce(before ? 'owner', false) or before ->> 'owner' = $1 then before::text end
        as before,
    -- The operator's SQL may name what is others'.
    case when $1::text is null or actor_owner = $1 then after::text else (after - 'where')::text end as after
from audit
where ($1::text is null or owner = $1 or actor_owner = $1)
    and ($2::text is null or owner = $2 or actor_owner = $2)
    and ($3::text is null or hook = $3)
    and (
        $4::text is null
        or case when $4 like '%.*' then starts_with(what, left($4, -1)) else what = $4 end
    )
    and ($5::timestamptz is null or at >= $5)
    and ($6::timestamptz is null or at < $6)
    and ($7::bigint is null or id < $7)
    and ($8::bigint is null or id > $8)
order by {order}
limit $9
