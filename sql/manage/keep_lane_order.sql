-- Keeps the lanes of the deliveries that were just revived ($1) in order: only the first of each lane stays due, and
-- the others wait behind it. A delivery that is being sent is left alone.

-- Their lanes.
with touched as (
    select hook, lane from delivery where id = any($1)
    union
    select hook, other_lane from delivery where id = any($1) and other_lane is not null
)
update delivery
set next_attempt = null
from touched
where delivery.hook = touched.hook
    and touched.lane in (delivery.lane, delivery.other_lane)
    and delivery.state = 'parked'
    and delivery.next_attempt is not null
    and not delivery.claimed
    and exists (
        select
        from delivery as earlier
        where earlier.hook = delivery.hook
            and earlier.state = 'parked'
            and (earlier.commit_lsn, earlier.event_index) < (delivery.commit_lsn, delivery.event_index)
            and (
                earlier.lane in (delivery.lane, delivery.other_lane)
                or earlier.other_lane in (delivery.lane, delivery.other_lane)
            )
    )
