-- What stands first in the lanes of parked deliveries ($1), where that is earlier than they are. Each lane is asked
-- apart, so that the index of it has the answer at once, however many wait in it.
select
    waiting.id,
    coalesce(
        (
            select earlier.id
            from delivery as earlier
            where earlier.hook = waiting.hook
                and earlier.lane = waiting.lane
                and earlier.state = 'parked'
                and (earlier.commit_lsn, earlier.event_index) < (waiting.commit_lsn, waiting.event_index)
            order by earlier.commit_lsn, earlier.event_index
            limit 1
        ),
        (
            select earlier.id
            from delivery as earlier
            where earlier.hook = waiting.hook
                and earlier.lane = waiting.other_lane
                and earlier.state = 'parked'
                and (earlier.commit_lsn, earlier.event_index) < (waiting.commit_lsn, waiting.event_index)
            order by earlier.commit_lsn, earlier.event_index
            limit 1
        ),
        (
            select earlier.id
            from delivery as earlier
            where earlier.hook = waiting.hook
                and earlier.other_lane = waiting.lane
                and earlier.state = 'parked'
                and (earlier.commit_lsn, earlier.event_index) < (waiting.commit_lsn, waiting.event_index)
            order by earlier.commit_lsn, earlier.event_index
            limit 1
        ),
        (
            select earlier.id
            from delivery as earlier
            where earlier.hook = waiting.hook
                and earlier.other_lane = waiting.other_lane
                and earlier.state = 'parked'
                and (earlier.commit_lsn, earlier.event_index) < (waiting.commit_lsn, waiting.event_index)
            order by earlier.commit_lsn, earlier.event_index
            limit 1
        )
    ) as ahead
from delivery as waiting
where waiting.id = any($1)
    and waiting.state = 'parked'
