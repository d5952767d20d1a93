-- Keeps deliveries, and returns the ids of those that are new: after a crash, the stream repeats what was parked before
-- it.
insert into delivery (
    id, hook, event, state, reason, attempts, next_attempt, lane, other_lane,
    commit_lsn, event_index, commit_time, body, content_type, question
)
select
    id, hook, event, state, reason, attempts, clock_timestamp() + make_interval(secs => wait), lane, other_lane,
    commit_lsn::pg_lsn, event_index, commit_time, body, content_type, question::jsonb
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::double precision[], $8::bigint[],
    $9::bigint[], $10::text[], $11::bigint[], $12::timestamptz[], $13::bytea[], $14::text[], $15::text[]
) as parked (
    id, hook, event, state, reason, attempts, wait, lane,
    other_lane, commit_lsn, event_index, commit_time, body, content_type, question
)
on conflict (id) do nothing
returning id
