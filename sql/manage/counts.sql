-- Counts deliveries and hooks by state. `all_hooks` stands before this: the hooks of hooks.toml ($1) and those of
-- the hook table.
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
    count(*) filter (where all_hooks.active and all_hooks.invalid is null) as active,
    count(*) filter (where not all_hooks.active) as inactive,
    count(*) filter (where all_hooks.invalid is not null) as invalid,
    (select count(*) from failing) as failing
from waiting
left join all_hooks on true
group by waiting.parked, waiting.dead, waiting.oldest_parked_seconds
