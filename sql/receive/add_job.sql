-- Enqueues a job. It is due at once, unless an earlier job of its lane waits.
insert into job (received, task, lane, state, due)
select ?1, ?2, ?3, 'waiting', case when exists (
    select from_lane.received
    from job as from_lane
    where from_lane.task = ?2
        and from_lane.lane = ?3
        and from_lane.state = 'waiting'
) then null else ?4 end
