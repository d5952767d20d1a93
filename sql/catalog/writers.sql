-- The transactions of any database that have written and not ended, except that of the backend $1: a new slot waits for
-- all of them. Of other roles' transactions not everybody sees that they have written, but whom a backend waits for
-- just now. A prepared transaction has no backend, and its name takes the place of application_name.
select
    pid,
    usename::text as role,
    application_name,
    state
from pg_stat_activity
where (backend_xid is not null or pid = any(pg_blocking_pids($1::integer)))
    and pid <> $1::integer
union all
select
    null,
    owner::text,
    gid,
    'prepared transaction'
from pg_prepared_xacts
order by pid
