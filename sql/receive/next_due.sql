-- When the next job of a task is due, leaving out those that run.
select min(job.due)
from job
where job.task = ?1
    and job.state = 'waiting'
    and job.due is not null
    and not exists (
        select running.received
        from running
        where running.received = job.received and running.task = job.task
    )
