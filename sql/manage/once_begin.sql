-- Takes a key ($2) of a caller ($1) for a request ($3), if it is free: it never was taken, or so long ago that no answer can come
-- any more. What is a day old goes, a part at a time.
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
