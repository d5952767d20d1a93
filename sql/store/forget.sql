-- Forgets dead deliveries, and parked ones of hooks that are disabled or gone ($2), when nothing has happened to them for so
-- many seconds ($1). A part at a time, so that nobody waits for it.
with old as (
    select id
    from delivery
    where updated_at < clock_timestamp() - make_interval(secs => $1)
        and (state = 'dead' or hook = any($2::text[]))
    limit 1000
    for update skip locked
)
delete from delivery
using old
where delivery.id = old.id
returning delivery.hook, delivery.state, delivery.lane, delivery.other_lane
