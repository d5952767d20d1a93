-- Which table has the name $1 now, and which name the table with the oid $2 has.
select
    pg_catalog.to_regclass($1::text)::pg_catalog.oid as named,
    known.schema,
    known.name
from (select) as always
left join lateral (
    select n.nspname::text as schema, c.relname::text as name
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.oid = $2::pg_catalog.oid
) as known on true
