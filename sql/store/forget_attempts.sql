-- Deletes attempts that are older than $1 seconds. At most $2 at a time, those first that were written first.
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
