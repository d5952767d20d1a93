-- Forgets attempts that are older than so many seconds. At most so many at a time.
delete from attempt
where id in (
    select id
    from attempt
    where started_at < clock_timestamp() - make_interval(secs => $1)
    limit $2
)
