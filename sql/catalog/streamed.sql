-- The columns of the table $2 in the schema $1 as the stream tells of them: in order, without the generated ones, with those that are part of
-- the replica identity marked. No row: there is no such table.
select
    class.oid,
    class.relreplident,
    attribute.attname::text as name,
    attribute.atttypid as type_oid,
    attribute.atttypmod as type_modifier,
    class.relreplident = 'f' or attribute.attnum = any(index.indkey::int2[]) is true as identity_key
from pg_class as class
join pg_namespace as namespace on namespace.oid = class.relnamespace
left join pg_index as index
    on index.indrelid = class.oid
    and (class.relreplident = 'd' and index.indisprimary or class.relreplident = 'i' and index.indisreplident)
left join pg_attribute as attribute
    on attribute.attrelid = class.oid
    and attribute.attnum > 0
    and not attribute.attisdropped
    and attribute.attgenerated = ''
where namespace.nspname = $1
    and class.relname = $2
    and class.relkind in ('r', 'p')
order by attribute.attnum
