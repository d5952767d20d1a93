-- Records attempts that failed, and what becomes of each delivery: one that is still parked has a time for its next
-- attempt, or waits without a time behind another of its lane.
update delivery
set
    state = failed.state,
    attempts = failed.attempts,
    waited_ms = failed.waited_ms,
    reason = failed.reason,
    next_attempt = clock_timestamp() + make_interval(secs => wait),
    claimed = false,
    updated_at = clock_timestamp()
from unnest($1::text[], $2::integer[], $3::text[], $4::double precision[], $5::text[], $6::bigint[])
    as failed (id, attempts, reason, wait, state, waited_ms)
where delivery.id = failed.id
