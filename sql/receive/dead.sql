-- Dead jobs, the latest first.
select received.number, received.id, received.envelope, job.task, job.attempts, job.due, job.error
from job
join received on received.number = job.received
where job.state = 'dead'
order by job.due desc, job.received desc
