-- The jobs of one task that are due, the earliest first. `running` is a temporary table: it ends with the connection of
-- the receiver.
select
    received.number,
    received.id,
    received.envelope,
    received.content_type,
    received.received_at,
    received.body,
    job.attempts
from job
join received on received.number = job.received
where job.task = ?1
    and job.state = 'waiting'
    and job.due <= ?2
    and not exists (
        select running.received
        from running
        where running.received = job.received and running.task = job.task
    )
order by job.due, job.received
limit ?3
