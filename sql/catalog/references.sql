-- The foreign keys of one column that refer to a primary key of one column.
select
    namespace.nspname::text as schema,
    class.relname::text as name,
    attribute.attname::text as "column",
    attribute.attnotnull as required,
    other_namespace.nspname::text as to_schema,
    other.relname::text as to_name
from pg_constraint as c
join pg_class as class on class.oid = c.conrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
join pg_attribute as attribute on attribute.attrelid = c.conrelid and attribute.attnum = c.conkey[1]
join pg_class as other on other.oid = c.confrelid
join pg_namespace as other_namespace on other_namespace.oid = other.relnamespace
join pg_index as key
    on key.indrelid = c.confrelid
    and key.indisprimary
    and key.indnkeyatts = 1
    and key.indkey[0] = c.confkey[1]
where c.contype = 'f'
    and cardinality(c.conkey) = 1
    -- Those of partitions are copies.
    and c.conparentid = 0
order by namespace.nspname, class.relname, attribute.attnum, c.conname
