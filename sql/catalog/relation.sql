-- What the stream does not say of a table: its primary key, the generated columns that are not in it, how SQL writes the
-- types of its columns, which of them may be null or too large for an update to repeat them, and which point to other tables.
select
    attribute.attname::text as name,
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
left join pg_index as index
    on index.indrelid = attribute.attrelid
    and index.indisprimary
where attribute.attrelid = $1
    and attribute.attnum > 0
    and not attribute.attisdropped
order by attribute.attnum
