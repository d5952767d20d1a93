-- The number of the request with an id, if jobs of it are dead.
select received.number
from job
join received on received.number = job.received
where job.state = 'dead'
    and received.id = ?1
limit 1
