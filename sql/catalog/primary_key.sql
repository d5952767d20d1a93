-- The columns of a table's primary key, in the key's order, with their types.
select
    attribute.attname,
    format_type(attribute.atttypid, attribute.atttypmod)
from pg_index as index
cross join lateral unnest(index.indkey) with ordinality as key (attnum, place)
join pg_attribute as attribute
    on attribute.attrelid = index.indrelid
    and attribute.attnum = key.attnum
where index.indrelid = $1::text::regclass
    and index.indisprimary
order by key.place
