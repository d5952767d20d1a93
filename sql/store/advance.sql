-- Makes due the first delivery of each lane ($1, $2) that something has left or entered. One that stands in another
-- lane too becomes due only when it is the first there as well.
--
-- Each lane is read through an index up to its first delivery only, however many wait in it or in others. Returns the
-- ids of those that were not due before.
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
