-- The columns of a table's primary key, in the key's order, with their types and the operators that compare them. The
-- operator of a type from an extension is in the extension's schema.
select
    attribute.attname,
    format_type(attribute.atttypid, attribute.atttypmod),
    coalesce(
        (
            select format('operator(%I.%s)', home.nspname, operator.oprname)
            from pg_opclass as class
            join pg_amop as member
                on member.amopfamily = class.opcfamily
                and member.amoplefttype = class.opcintype
                and member.amoprighttype = class.opcintype
                -- Equality, in every B-tree.
                and member.amopstrategy = 3
            join pg_operator as operator on operator.oid = member.amopopr
            join pg_namespace as home on home.oid = operator.oprnamespace
            where class.oid = index.indclass[key.place - 1]
        ),
        'operator(pg_catalog.=)'
    )
from pg_index as index
cross join lateral unnest(index.indkey) with ordinality as key (attnum, place)
join pg_attribute as attribute
    on attribute.attrelid = index.indrelid
    and attribute.attnum = key.attnum
where index.indrelid = $1::text::regclass
    and index.indisprimary
order by key.place
