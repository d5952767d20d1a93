-- All relations of users, among which the configured ones are found, and those that a mistyped name may mean.
select
    c.oid,
    n.nspname::text as schema,
    c.relname::text as name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname not like 'pg\_toast%'
    and n.nspname not like 'pg\_temp%'
order by n.nspname, c.relname
