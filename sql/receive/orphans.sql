-- The tasks that have waiting jobs, each with the number of them.
select task, count(*)
from job
where state = 'waiting'
group by task
order by task
