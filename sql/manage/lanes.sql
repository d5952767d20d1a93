-- The lanes in which deliveries are parked, fullest first.
select
    hook,
    lane,
    count(*) as parked,
    min(next_attempt) as next_attempt,
    min(commit_time) as oldest
from delivery
where state = 'parked'
group by hook, lane
order by count(*) desc, hook, lane
limit 200
