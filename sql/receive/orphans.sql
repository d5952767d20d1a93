-- Tasks that something waits for, and how much.
select task, count(*)
from job
where state = 'waiting'
group by task
order by task
