-- The types with the oids $1, and what they are made of: base type of a domain, elements of an array, attributes of a
-- composite.
select
    type.oid,
    type.typtype::text as kind,
    type.typname::text as name,
    type.typbasetype as base,
    -- For true arrays only: other types with elements, such as name and point, are shown as text.
    case when element.typarray = type.oid then element.oid end as element,
    coalesce(element.typdelim::text, ',') as delimiter,
    -- Types such as hstore are shown as what their cast to json returns.
    exists (
        select
        from pg_cast
        where castsource = type.oid
            and casttarget = 'json'::regtype
            and castmethod = 'f'
    ) as casts_to_json,
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
