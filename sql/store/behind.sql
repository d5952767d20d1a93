-- What waits for nothing but the claimed deliveries $1, and so can go along with them: in the lane of each, those behind it up
-- to the first that stands in two lanes or has a time of its own. At most so many of a lane ($2), and so many bytes ($3).
--
-- They are not claimed: as long as the one before them is here, nobody else takes them.
with behind as (
    select next_in_lane.*
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
        -- One that has left this lane for another stands in it too.
        and not exists (
            select
            from delivery as beside
            where beside.hook = head.hook
                and beside.other_lane = head.lane
                and beside.state = 'parked'
                and (beside.commit_lsn, beside.event_index) < (next_in_lane.commit_lsn, next_in_lane.event_index)
        )
),

-- How much there is up to each of them.
counted as (
    select
        id,
        sum(octet_length(body)) over (order by commit_lsn, event_index rows unbounded preceding) as bytes
    from behind
)

select
    behind.id,
    behind.event,
    behind.attempts,
    behind.lane,
    behind.other_lane,
    behind.commit_lsn::text as commit_lsn,
    behind.event_index,
    behind.commit_time,
    behind.body,
    behind.content_type,
    behind.question::text as question
from behind
join counted on counted.id = behind.id
where counted.bytes <= $3
