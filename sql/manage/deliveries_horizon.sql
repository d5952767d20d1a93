-- How far back a page of deliveries looks, which begins at a position in the list ($3, $4): the last of the $7 that come
-- next, of those that are parked or dead and of those that were delivered, whichever comes first in the list. No row
-- where there are fewer of both. The indexes have each of them in order: of a hook ($1), in a state ($2), and between two
-- times ($5, $6), each where it is given.
select at, id
from (
    (
        select created_at as at, id
        from delivery
        where ($1::text is null or hook = $1 and (state = 'parked' or state = 'dead'))
            and ($2::text is null or state = $2)
            and ($3::timestamptz is null or (created_at, id) < ($3, $4::text))
            and ($5::timestamptz is null or created_at >= $5)
            and ($6::timestamptz is null or created_at < $6)
        order by created_at desc, id desc
        offset $7::bigint - 1
        limit 1
    )
    union all
    (
        select started_at as at, delivery as id
        from attempt
        where delivered
            and coalesce($2, 'delivered') = 'delivered'
            and ($1::text is null or hook = $1)
            and ($3::timestamptz is null or (started_at, delivery) < ($3, $4::text))
            and ($5::timestamptz is null or started_at >= $5)
            and ($6::timestamptz is null or started_at < $6)
        order by started_at desc, delivery desc
        offset $7::bigint - 1
        limit 1
    )
) as last_looked_at
order by at desc, id desc
limit 1
