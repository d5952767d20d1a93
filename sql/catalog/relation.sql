-- The columns of the tables with the oids $1, with what the stream does not describe: its name now, generated columns,
-- types in SQL, which columns may be null, can be TOASTed, are foreign keys or may hold texts that are in no encoding,
-- and the primary key.

-- How values of the types of keys are compared, for each of the few operator classes that these tables use. The operator
-- of a type from an extension is in the extension's schema.
with equality as materialized (
    select
        class.oid as class,
        format('operator(%I.%s)', home.nspname, operator.oprname) as operator
    from pg_opclass as class
    join pg_amop as member
        on member.amopfamily = class.opcfamily
        and member.amoplefttype = class.opcintype
        and member.amoprighttype = class.opcintype
        -- Equality, in every B-tree.
        and member.amopstrategy = 3
    join pg_operator as operator on operator.oid = member.amopopr
    join pg_namespace as home on home.oid = operator.oprnamespace
    where class.oid in (
        select unnest(index.indclass)
        from pg_index as index
        where index.indrelid = any($1::oid[])
            and index.indisprimary
    )
)
select
    attribute.attrelid as table_oid,
    namespace.nspname::text as schema,
    class.relname::text as table_name,
    class.relkind = 'p' as partitioned,
    attribute.attname::text as name,
    attribute.attnum as number,
    attribute.atttypid as type_oid,
    attribute.atttypmod as type_modifier,
    attribute.attgenerated <> '' as generated,
    format_type(attribute.atttypid, attribute.atttypmod) as sql_type,
    not attribute.attnotnull as nullable,
    attribute.attstorage <> 'p' as toastable,
    -- Of the encodings, only SQL_ASCII has the number 0.
    attribute.attstorage <> 'p' and (
        select encoding = 0
        from pg_database
        where datname = current_database()
    ) as unchecked,
    exists (
        select
        from pg_constraint as c
        where c.conrelid = attribute.attrelid
            and c.contype = 'f'
            and c.conkey = array[attribute.attnum]
    ) as foreign_key,
    place.key_place,
    equality.operator as key_equals
from pg_attribute as attribute
join pg_class as class on class.oid = attribute.attrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
left join pg_index as index
    on index.indrelid = attribute.attrelid
    and index.indisprimary
cross join lateral (select array_position(index.indkey::int2[], attribute.attnum)) as place (key_place)
left join equality on equality.class = index.indclass[place.key_place]
where attribute.attrelid = any($1::oid[])
    and attribute.attnum > 0
    and not attribute.attisdropped
order by attribute.attrelid, attribute.attnum
