-- The types with the oids $1, and what they are made of: base type of a domain, elements of an array, attributes of a
-- composite.
select
    type.oid,
    type.typtype::text as kind,
    type.typbasetype as base,
    -- For true arrays only: other types with elements, such as name and point, are shown as text.
    case when element.typarray = type.oid then element.oid end as element,
    coalesce(element.typdelim::text, ',') as delimiter,
    format_type(type.oid, null) as sql_type,
    -- Such types are shown as what their cast to json returns. That of hstore is known to us.
    cast_to_json.is_of_hstore is true as is_hstore,
    cast_to_json.usable as cast_usable,
    cast_to_json.owner as cast_owner,
    attribute.names as attributes,
    attribute.types as attribute_types,
    -- The labels of an enum, in order.
    array(
        select enumlabel::text
        from pg_enum
        where enumtypid = type.oid
        order by enumsortorder
    ) as labels
from pg_type as type
left join pg_type as element on element.oid = type.typelem
left join lateral (
    select
        p.proname = 'hstore_to_json' and l.lanname = 'c' as is_of_hstore,
        owner.rolname::text as owner,
        -- Code that a user wrote must not run with more rights than its author has. That of Postgres and of extensions
        -- in C comes from superusers, and a function that is SECURITY DEFINER runs with its author's rights. Reading a
        -- range runs code of its type, too.
        (l.lanname in ('internal', 'c') or p.prosecdef or owner.rolsuper or owner.rolname = session_user)
        and (type.typtype in ('b', 'e') or type_owner.rolsuper or type_owner.rolname = session_user) as usable
    from pg_cast as k
    join pg_proc as p on p.oid = k.castfunc
    join pg_language as l on l.oid = p.prolang
    join pg_roles as owner on owner.oid = p.proowner
    join pg_roles as type_owner on type_owner.oid = type.typowner
    where k.castsource = type.oid
        and k.casttarget = 'json'::regtype
        and k.castmethod = 'f'
) as cast_to_json on true
cross join lateral (
    select
        coalesce(array_agg(attname::text order by attnum), '{}') as names,
        coalesce(array_agg(atttypid order by attnum), '{}') as types
    from pg_attribute
    where attrelid = type.typrelid
        and type.typtype = 'c'
        and attnum > 0
        and not attisdropped
) as attribute
where type.oid = any($1)
