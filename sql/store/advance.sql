-- Gives those their turn that have become the first in all of their lanes: of each lane that something has left or entered,
-- the first, and if that stands in another lane too, only when it is the first there.
--
-- Each lane is looked at through an index and to its first delivery only, however many wait in it, or in others. Returns who has
-- its turn now and did not before.
update delivery
set next_attempt = clock_timestamp()
from unnest($1::text[], $2::bigint[]) as touched (hook, lane)
cross join lateral (
    select here.id, here.beside
    from (
        (
            select id, other_lane as beside, commit_lsn, event_index
            from delivery
            where hook = touched.hook
                and lane = touched.lane
                and state = 'parked'
            order by commit_lsn, event_index
            limit 1
        )
        union all
        (
            select id, lane as beside, commit_lsn, event_index
            from delivery
            where hook = touched.hook
                and other_lane = touched.lane
                and state = 'parked'
            order by commit_lsn, event_index
            limit 1
        )
    ) as here
    order by commit_lsn, event_index
    limit 1
) as first
left join lateral (
    select there.id
    from (
        (
            select id, commit_lsn, event_index
            from delivery
            where hook = touched.hook
                and lane = first.beside
                and state = 'parked'
            order by commit_lsn, event_index
            limit 1
        )
        union all
        (
            select id, commit_lsn, event_index
            from delivery
            where hook = touched.hook
                and other_lane = first.beside
                and state = 'parked'
            order by commit_lsn, event_index
            limit 1
        )
    ) as there
    order by commit_lsn, event_index
    limit 1
) as first_beside on first.beside is not null
where delivery.id = first.id
    and delivery.next_attempt is null
    and (first.beside is null or first_beside.id = first.id)
returning delivery.id
