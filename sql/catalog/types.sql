-- What types are made of: a domain of its base type, an array of its elements, a composite of its attributes.
select
    type.oid,
    type.typtype::text as kind,
    type.typname::text as name,
    type.typbasetype as base,
    -- Of a true array only: others with elements, such as name and point, show as texts.
    case when element.typarray = type.oid then element.oid end as element,
    coalesce(element.typdelim::text, ',') as delimiter,
    -- hstore and its like show as what their cast to json makes of them.
    exists (
        select
        from pg_cast
        where castsource = type.oid
            and casttarget = 'json'::regtype
            and castmethod = 'f'
    ) as casts_to_json,
    attribute.names as attributes,
    attribute.types as attribute_types,
    -- What an enum may be, in its order.
    array(
        select enumlabel::text
        from pg_enum
        where enumtypid = type.oid
        order by enumsortorder
    ) as labels
from pg_type as type
left join pg_type as element on element.oid = type.typelem
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
