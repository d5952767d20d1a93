-- Returns a dead job to the queue with all its attempts. It waits behind the jobs that wait in its lane.
update job
set state = 'waiting', attempts = 0, error = null, due = case when exists (
    select from_lane.received
    from job as from_lane
    where from_lane.task = job.task
        and from_lane.lane = job.lane
        and from_lane.state = 'waiting'
) then null else ?3 end
where received = ?1
    and task = ?2
    and state = 'dead'
