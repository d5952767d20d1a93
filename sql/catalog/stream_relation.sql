-- The table $1 as the stream would describe it: one row for each column, and none if there is no such table.
select
    c.oid,
    c.relreplident::text as identity,
    a.attname::text as name,
    a.atttypid as type_oid,
    a.atttypmod as type_modifier,
    c.relreplident = 'f' or coalesce(a.attnum = any(i.indkey::smallint[]), false) as identity_key
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid
-- The index of the replica identity, whose columns are in every old row.
left join pg_index as i
    on i.indrelid = c.oid
    and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)
where c.oid = to_regclass($1::text)
    and a.attnum > 0
    and not a.attisdropped
    -- The stream leaves out generated columns, but from Postgres 18 on only virtual ones.
    and (
        a.attgenerated = ''
        or a.attgenerated = 's' and current_setting('server_version_num')::integer >= 180000
    )
order by a.attnum
