-- Finds the delivery of a hook ($1) that is due first: in how many seconds, at which time, and with how many bytes of a
-- body. No row where nothing waits. What was due before $2, if that is not null, is passed over.
select
    next_attempt,
    greatest(extract(epoch from next_attempt - clock_timestamp()), 0)::double precision as wait,
    octet_length(body) as bytes
from delivery
where hook = $1
    and state = 'parked'
    and next_attempt >= coalesce($2, '-infinity'::timestamptz)
order by next_attempt
limit 1
