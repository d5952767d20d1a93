-- In how many seconds something of a hook is due, and how many bytes its body has; no row where nothing waits.
select
    greatest(extract(epoch from next_attempt - clock_timestamp()), 0)::double precision as wait,
    octet_length(body) as bytes
from delivery
where hook = $1
    and state = 'parked'
    and next_attempt is not null
order by next_attempt
limit 1
