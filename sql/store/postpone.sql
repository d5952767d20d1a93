-- Notes an attempt that failed, and when the next one is; one without a next one is dead.
update delivery
set
    state = case when wait is null then 'dead' else 'parked' end,
    attempts = failed.attempts,
    reason = failed.reason,
    next_attempt = clock_timestamp() + make_interval(secs => wait),
    claimed = false,
    updated_at = clock_timestamp()
from unnest($1::text[], $2::integer[], $3::text[], $4::double precision[]) as failed (id, attempts, reason, wait)
where delivery.id = failed.id
