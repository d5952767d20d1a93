-- The table with the oid $1 under its present name, with the place of each column that it has or had, in order. A
-- column that was dropped keeps its place, without a type.
select
    schema.nspname::text as schema,
    class.relname::text as name,
    attribute.attname::text as column,
    attribute.atttypid as type_oid,
    attribute.attgenerated <> '' as generated,
    attribute.attisdropped as dropped
from pg_class as class
join pg_namespace as schema
    on schema.oid = class.relnamespace
join pg_attribute as attribute
    on attribute.attrelid = class.oid
where class.oid = $1
    and attribute.attnum > 0
order by attribute.attnum
