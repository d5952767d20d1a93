-- How much waits, how much was given up, and how hooks are. `known` stands before this: all hooks, of the file ($1) and of
-- the table.
waiting as (
    select
        count(*) filter (where state = 'parked') as parked,
        count(*) filter (where state = 'dead') as dead,
        extract(epoch from clock_timestamp() - min(commit_time) filter (where state = 'parked'))::double precision
            as oldest_parked_seconds
    from delivery
)

select
    waiting.parked,
    waiting.dead,
    waiting.oldest_parked_seconds,
    count(*) filter (where known.active and known.invalid is null) as active,
    count(*) filter (where not known.active) as inactive,
    count(*) filter (where known.invalid is not null) as invalid,
    (select count(*) from failing) as failing
from waiting
left join known on true
group by waiting.parked, waiting.dead, waiting.oldest_parked_seconds
