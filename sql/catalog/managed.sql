-- What a managed service shows of itself: one row for each mark of $1 that is there, as a kind and a name.
select 'role ' || rolname::text as mark from pg_roles where 'role ' || rolname::text = any($1::text[])
union all
select 'setting ' || name from pg_settings where 'setting ' || name = any($1::text[])
union all
select 'extension ' || extname::text from pg_extension where 'extension ' || extname::text = any($1::text[])
union all
select 'schema ' || nspname::text from pg_namespace where 'schema ' || nspname::text = any($1::text[])
union all
select distinct 'function ' || proname::text
from pg_proc
where pronamespace = 'pg_catalog'::regnamespace
    and 'function ' || proname::text = any($1::text[])
