-- The tables with the schemas $1 and the names $2 as the stream would describe them: one row for each column, and none
-- for a table that does not exist.
select
    c.oid,
    n.nspname::text as schema,
    c.relname::text as table_name,
    c.relreplident::text as identity,
    a.attname::text as name,
    a.atttypid as type_oid,
    a.atttypmod as type_modifier,
    c.relreplident = 'f' or coalesce(a.attnum = any(i.indkey::smallint[]), false) as identity_key
from unnest($1::text[], $2::text[]) as wanted (schema, name)
join pg_namespace as n on n.nspname = wanted.schema
join pg_class as c on c.relnamespace = n.oid and c.relname = wanted.name
join pg_attribute as a on a.attrelid = c.oid
-- The index of the replica identity, whose columns are in every old row.
left join pg_index as i
    on i.indrelid = c.oid
    and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)
where a.attnum > 0
    and not a.attisdropped
    -- The stream leaves out generated columns, but from Postgres 18 on only virtual ones.
    and (
        a.attgenerated = ''
        or a.attgenerated = 's' and current_setting('server_version_num')::integer >= 180000
    )
order by c.oid, a.attnum
