-- Gives those their turn that have become the first in all of their lanes.
update delivery
set next_attempt = clock_timestamp()
from (
    -- The first of each lane that something has left or entered.
    select distinct first.id
    from unnest($1::text[], $2::bigint[]) as touched (hook, lane)
    cross join lateral (
        select candidate.id, candidate.lane, candidate.other_lane, candidate.commit_lsn, candidate.event_index
        from delivery as candidate
        where candidate.hook = touched.hook
            and candidate.state = 'parked'
            and (candidate.lane = touched.lane or candidate.other_lane = touched.lane)
        order by candidate.commit_lsn, candidate.event_index
        limit 1
    ) as first
    -- One that stands in two lanes has to be the first in both.
    where not exists (
        select
        from delivery as earlier
        where earlier.hook = touched.hook
            and earlier.state = 'parked'
            and (
                earlier.lane in (first.lane, first.other_lane)
                or earlier.other_lane in (first.lane, first.other_lane)
            )
            and (earlier.commit_lsn, earlier.event_index) < (first.commit_lsn, first.event_index)
    )
) as next
where delivery.id = next.id
    and delivery.next_attempt is null
