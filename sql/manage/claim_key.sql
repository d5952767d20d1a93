-- Claims a caller's ($1) idempotency key ($2) for the request with this fingerprint ($3), if it is free: it was never
-- claimed, it was claimed more than a day ago, or its request has had no response for a minute and will have none.

-- Keys that are a day old are deleted, a few at a time.
with old as (
    delete from idempotency
    where ctid = any(array(
        select ctid
        from idempotency
        where created_at < clock_timestamp() - interval '1 day'
            and (caller, key) <> ($1, $2)
        limit 100
    ))
)

insert into idempotency (caller, key, fingerprint)
values ($1, $2, $3)
on conflict (caller, key) do update
set
    fingerprint = excluded.fingerprint,
    status = null,
    body = null,
    created_at = clock_timestamp()
where idempotency.created_at < clock_timestamp() - interval '1 day'
    or (idempotency.status is null and idempotency.created_at < clock_timestamp() - interval '1 minute')
returning true
