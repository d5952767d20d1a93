-- The next deliveries after an id ($3) that hold a row which was forgotten, by what they are about ($1), in the order of
-- their ids: at least one, and up to 8 MiB of bodies. One that an older rowhook has parked is known by its lane ($2), if
-- that is the row's.
with found as (
    select id, octet_length(body) as bytes
    from delivery
    where id > $3::text
        and (
            about && $1::bigint[]
            or about is null and (lane = any($2::bigint[]) or other_lane = any($2::bigint[]))
        )
    order by id
    limit 500
),

counted as (
    select id, sum(bytes) over (order by id rows unbounded preceding) - bytes as before
    from found
)

select delivery.id, delivery.body, delivery.outline::text as outline, delivery.question::text as question
from delivery
join counted on counted.id = delivery.id
where counted.before < 8388608
order by delivery.id
