-- Gives up what waits for hooks ($1) and belongs to others than those who have them now ($2; null: everyone), up to $3
-- deliveries of each hook, with a reason ($4). What is being sent is left to the courier, which sees whose it is.
with chosen as (
    select foreign_one.id
    from unnest($1::text[], $2::text[]) as present (hook, owner)
    cross join lateral (
        select delivery.id
        from delivery
        where delivery.hook = present.hook
            and delivery.state = 'parked'
            and not delivery.claimed
            and case
                when delivery.everyones then present.owner is not null
                -- An older rowhook did not note whose it is.
                when delivery.owner is null then false
                when delivery.owner = present.owner then false
                -- All texts of one UUID are one owner.
                when lower(translate(delivery.owner, '{}-', '')) = lower(translate(present.owner, '{}-', ''))
                    then lower(translate(delivery.owner, '{}-', '')) !~ '^[0-9a-f]{32}$'
                else true
            end
        limit $3
        for update skip locked
    ) as foreign_one
)

update delivery
set
    state = 'dead',
    reason = $4,
    next_attempt = null,
    updated_at = clock_timestamp()
from chosen
where delivery.id = chosen.id
returning delivery.id, delivery.hook, delivery.lane, delivery.other_lane
