-- The columns of the table with the oid $1, with what the stream does not describe: its name now, generated
-- columns, types in SQL, which columns may be null, can be TOASTed or are foreign keys, and the primary key.
select
    namespace.nspname::text as schema,
    class.relname::text as table_name,
    attribute.attname::text as name,
    attribute.attnum as number,
    attribute.atttypid as type_oid,
    attribute.atttypmod as type_modifier,
    attribute.attgenerated <> '' as generated,
    format_type(attribute.atttypid, attribute.atttypmod) as sql_type,
    not attribute.attnotnull as nullable,
    attribute.attstorage <> 'p' as toastable,
    exists (
        select
        from pg_constraint as c
        where c.conrelid = attribute.attrelid
            and c.contype = 'f'
            and c.conkey = array[attribute.attnum]
    ) as foreign_key,
    array_position(index.indkey::int2[], attribute.attnum) as key_place
from pg_attribute as attribute
join pg_class as class on class.oid = attribute.attrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
left join pg_index as index
    on index.indrelid = attribute.attrelid
    and index.indisprimary
where attribute.attrelid = $1
    and attribute.attnum > 0
    and not attribute.attisdropped
order by attribute.attnum
