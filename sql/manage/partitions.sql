-- The partitions of a slot ($1), of so many ($2), with what is parked of their hooks.
with parked as (
    select hook, count(*) as deliveries, min(commit_time) as oldest
    from delivery
    where state = 'parked'
    group by hook
),

of_partition as (
    select
        partition_of(hook, $2) as number,
        sum(deliveries)::bigint as parked,
        min(oldest) as oldest
    from parked
    group by partition_of(hook, $2)
)

select
    partition.number,
    partition.sender,
    partition.epoch,
    partition.since,
    coalesce(of_partition.parked, 0) as parked,
    of_partition.oldest
from partition
left join of_partition on of_partition.number = partition.number
where partition.slot = $1
    and partition.number < $2
order by partition.number
