-- Keeps deliveries, and returns the ids of those that are new: after a crash, the stream repeats what was parked before
-- it.
insert into delivery (
    id, hook, event, owner, everyones, state, reason, attempts, waited_ms, next_attempt, lane, other_lane,
    commit_lsn, event_index, commit_time, body, content_type, question
)
select
    id, hook, event, owner, everyones, state, reason, attempts, waited_ms,
    clock_timestamp() + make_interval(secs => wait), lane, other_lane,
    commit_lsn::pg_lsn, event_index, commit_time, body, content_type, question::jsonb
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::double precision[], $8::bigint[],
    $9::bigint[], $10::text[], $11::bigint[], $12::timestamptz[], $13::bytea[], $14::text[], $15::text[],
    $16::text[], $17::boolean[], $18::bigint[]
) as parked (
    id, hook, event, state, reason, attempts, wait, lane,
    other_lane, commit_lsn, event_index, commit_time, body, content_type, question, owner, everyones, waited_ms
)
-- What is left of owners who were forgotten meanwhile.
where not exists (
    select
    from forgotten
    where forgotten.owner = hashtextextended(parked.owner, 0)
        and parked.commit_time <= forgotten.at
)
on conflict (id) do nothing
returning id
