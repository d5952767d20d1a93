-- Who has a transaction open that has written, in any database: a new slot waits for them all. A prepared transaction has
-- no backend; its name stands in for one.
select
    pid,
    usename::text as role,
    application_name,
    state
from pg_stat_activity
where backend_xid is not null
    and pid <> $1::integer
union all
select
    null,
    owner::text,
    gid,
    'prepared transaction'
from pg_prepared_xacts
order by pid
