-- Keeps deliveries, and returns the ids of those that are new: after a crash, the stream repeats what was parked before
-- it. One whose row was forgotten meanwhile is kept without its body, which is still to be made anew; whether it is one
-- is returned too.
insert into delivery (
    id, hook, event, owner, everyones, state, reason, attempts, waited_ms, next_attempt, lane, other_lane,
    commit_lsn, event_index, commit_time, body, content_type, question, about, outline
)
select
    id, hook, event, owner, everyones, state,
    case
        when not is_forgotten or reason ~ '^(the last of [0-9]+ attempts failed: )?[0-9]{3}$' then reason
        when state = 'dead' then 'its row was forgotten'
    end,
    attempts, waited_ms,
    clock_timestamp() + make_interval(secs => wait), lane, other_lane,
    commit_lsn::pg_lsn, event_index, commit_time,
    case when is_forgotten then '' else body end,
    content_type,
    case when not is_forgotten then question::jsonb end,
    case when is_forgotten then '{}' else about::bigint[] end,
    case when not is_forgotten then outline::json end
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::double precision[], $8::bigint[],
    $9::bigint[], $10::text[], $11::bigint[], $12::timestamptz[], $13::bytea[], $14::text[], $15::text[],
    $16::text[], $17::boolean[], $18::bigint[], $19::text[], $20::text[]
) as parked (
    id, hook, event, state, reason, attempts, wait, lane,
    other_lane, commit_lsn, event_index, commit_time, body, content_type, question, owner, everyones, waited_ms,
    about, outline
)
cross join lateral (
    select
        outline is not null
        and exists (
            select
            from forgotten_mark
            where forgotten_mark.mark = any(parked.about::bigint[])
                and parked.commit_time <= forgotten_mark.at
        ) as is_forgotten
) as known
-- What is left of owners who were forgotten meanwhile.
where not exists (
    select
    from forgotten
    where forgotten.owner = hashtextextended(parked.owner, 0)
        and parked.commit_time <= forgotten.at
)
on conflict (id) do nothing
returning id, octet_length(body) = 0 and about = '{}' and outline is null as is_forgotten
