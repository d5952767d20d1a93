-- Reads what waits for nothing but the claimed deliveries ($1), and so can go along with them: in the lane of each,
-- those behind it up to the first that stands in two lanes or has a time of its own. At most $2 of a lane, and $3 bytes
-- in all.
--
-- They are not claimed: while the one before them is in the table, nobody else takes them.
select
    id,
    event,
    attempts,
    owner,
    everyones,
    case when attempts > 0 then waited_ms else 0 end as waited_ms,
    lane,
    other_lane,
    commit_lsn::text as commit_lsn,
    event_index,
    commit_time,
    body,
    content_type,
    question::text as question,
    about
from (
    select
        next_in_lane.*,
        -- The sums up to each of them.
        sum(octet_length(next_in_lane.body)) over (
            order by next_in_lane.commit_lsn, next_in_lane.event_index rows unbounded preceding
        ) as bytes
    from delivery as head
    cross join lateral (
        select
            candidate.*,
            bool_and(candidate.other_lane is null and candidate.next_attempt is null) over so_far as follows
        from (
            select *
            from delivery as later
            where later.hook = head.hook
                and later.lane = head.lane
                and later.state = 'parked'
                and (later.commit_lsn, later.event_index) > (head.commit_lsn, head.event_index)
            order by later.commit_lsn, later.event_index
            limit $2
        ) as candidate
        window so_far as (order by candidate.commit_lsn, candidate.event_index rows unbounded preceding)
    ) as next_in_lane
    where head.id = any($1::text[])
        and head.other_lane is null
        and next_in_lane.follows
        -- An update that moved a row out of this lane stands in it too.
        and not exists (
            select
            from delivery as beside
            where beside.hook = head.hook
                and beside.other_lane = head.lane
                and beside.state = 'parked'
                and (beside.commit_lsn, beside.event_index) < (next_in_lane.commit_lsn, next_in_lane.event_index)
        )
) as behind
where bytes <= $3
