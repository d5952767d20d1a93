-- Makes the next job of a lane due, now that the one before it has succeeded or is dead.
update job
set due = ?3
where state = 'waiting'
    and task = ?1
    and lane = ?2
    and due is null
    and received = (
        select min(first.received)
        from job as first
        where first.task = ?1
            and first.lane = ?2
            and first.state = 'waiting'
    )
