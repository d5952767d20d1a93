-- The table with the oid $1 under its present name, with the place of each column that it has or had, in order. A
-- column that was dropped keeps its place, without a type.
select
    schema.nspname::text as schema,
    class.relname::text as name,
    attribute.attname::text as column,
    attribute.atttypid as type_oid,
    attribute.attgenerated <> '' as generated,
    -- Whether the stream leaves it out. From Postgres 18 on it carries stored generated columns.
    attribute.attgenerated = 'v'
        or attribute.attgenerated = 's' and current_setting('server_version_num')::integer < 180000 as left_out,
    attribute.attisdropped as dropped
from pg_class as class
join pg_namespace as schema
    on schema.oid = class.relnamespace
join pg_attribute as attribute
    on attribute.attrelid = class.oid
where class.oid = $1
    and attribute.attnum > 0
order by attribute.attnum
