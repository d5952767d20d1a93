-- Counts what is parked, by hook and lane.
select hook, lane, other_lane, count(*) as deliveries
from delivery
where state = 'parked'
group by hook, lane, other_lane
