-- The sessions that hold the lock that the backend $1 waits for.
select
    pid,
    usename::text as role,
    application_name,
    state
from pg_stat_activity
where pid = any(pg_blocking_pids($1::integer))
order by pid
