-- Writes attempts to the history.
insert into attempt (
    delivery, hook, event, number, started_at, took_ms, delivered, status, error, url, request_headers, request_body,
    response_headers, response_body, commit_lsn, event_index, commit_time, lane, other_lane,
    owner, everyones, method, about
)
select
    delivery, hook, event, number, started_at, took_ms, delivered, status, error, url, request_headers::jsonb, request_body,
    response_headers::jsonb, response_body, commit_lsn::pg_lsn, event_index, commit_time, lane, other_lane,
    owner, everyones, method, about::bigint[]
from unnest(
    $1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::double precision[], $7::boolean[],
    $8::integer[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[], $14::bytea[], $15::text[],
    $16::bigint[], $17::timestamptz[], $18::bigint[], $19::bigint[], $20::text[], $21::boolean[], $22::text[], $23::text[]
) as written (
    delivery, hook, event, number, started_at, took_ms, delivered, status, error, url, request_headers, request_body,
    response_headers, response_body, commit_lsn, event_index, commit_time, lane, other_lane,
    owner, everyones, method, about
)
-- What is left of owners and rows who were forgotten meanwhile.
where not exists (
    select
    from forgotten
    where forgotten.owner = hashtextextended(written.owner, 0)
        and written.commit_time <= forgotten.at
)
and not exists (
    select
    from forgotten_mark
    where forgotten_mark.mark = any(written.about::bigint[])
        and written.commit_time <= forgotten_mark.at
)
