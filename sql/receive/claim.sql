-- What may be done next of one task. `running` is a table of this session alone: it is gone when the receiver is.
select received.number, received.id, received.envelope, received.content_type, received.received_at, received.body, job.attempts
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
