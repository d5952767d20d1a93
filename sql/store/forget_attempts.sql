-- Forgets attempts that are older than so many seconds. At most so many at a time, those that were written first.
delete from attempt
where id in (
    select id
    from (
        select id, started_at
        from attempt
        order by id
        limit $2
    ) as first_written
    where started_at < clock_timestamp() - make_interval(secs => $1)
)
