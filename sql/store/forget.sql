-- Deletes dead deliveries, and parked ones of hooks that are disabled or gone ($2), when nothing has happened to them
-- for $1 seconds. At most a thousand of each at a time, so that nobody waits for it.
with dead as (
    select id
    from delivery
    where state = 'dead'
        and updated_at < clock_timestamp() - make_interval(secs => $1)
    limit 1000
    for update skip locked
),

idle as (
    select id
    from delivery
    where state = 'parked'
        and hook = any($2::text[])
        and updated_at < clock_timestamp() - make_interval(secs => $1)
    limit 1000
    for update skip locked
)

delete from delivery
where id in (select id from dead union all select id from idle)
returning delivery.hook, delivery.state, delivery.lane, delivery.other_lane
