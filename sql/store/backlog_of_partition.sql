-- Counts what is parked of a partition ($2) of so many ($1), by hook and lane. The hooks are found first, each from the
-- one before, because there may be few hooks with very many deliveries.
with recursive parked (hook) as (
    (
        select hook
        from delivery
        where state = 'parked'
        order by hook
        limit 1
    )
    union all
    select (
        select delivery.hook
        from delivery
        where delivery.state = 'parked'
            and delivery.hook > parked.hook
        order by delivery.hook
        limit 1
    )
    from parked
    where parked.hook is not null
)

select delivery.hook, delivery.lane, delivery.other_lane, count(*) as deliveries
from parked
join delivery on delivery.hook = parked.hook
where delivery.state = 'parked'
    and partition_of(parked.hook, $1) = $2
group by delivery.hook, delivery.lane, delivery.other_lane
