-- How the partitioned table with the oid $1 is divided; no row if it is another kind of table, or is not there. Nothing
-- here waits for a lock, as pg_partition_tree would.
with recursive tree as (
    select $1::oid as oid
    union all
    select i.inhrelid
    from tree
    join pg_inherits as i on i.inhparent = tree.oid
),
levels as (
    select oid
    from tree
    union
    select above.relid::oid
    from pg_partition_ancestors($1::oid::regclass) as above (relid)
),
-- What decides the partition of a row, on each level. An expression has the number 0.
keys as (
    select p.partrelid, p.partclass, k.attnum, a.attname, a.atttypid, a.atttypmod
    from levels
    join pg_partitioned_table as p on p.partrelid = levels.oid
    cross join lateral unnest(p.partattrs::int2[]) as k (attnum)
    left join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = k.attnum
),
columns as (
    select distinct attname::text as name, format_type(atttypid, atttypmod) as type
    from keys
    where attnum > 0
)
select
    array(select name from columns order by name) as columns,
    array(select type from columns order by name) as types,
    -- Whether the conditions of the partitions run no code but that of Postgres.
    not exists (
        select
        from keys
        left join pg_type as type on type.oid = keys.atttypid
        where keys.attnum = 0
            -- Nobody but Postgres itself makes things with oids below this.
            or exists (select from unnest(keys.partclass::oid[]) as class (oid) where class.oid >= 16384)
            or type.oid >= 16384 and type.typtype <> 'e'
            or exists (
                select
                from pg_cast as k
                where k.castsource = 'pg_catalog.text'::regtype
                    and k.casttarget = type.oid
                    and k.oid >= 16384
            )
    ) as plain,
    -- Whether a trigger runs just before a row is inserted, and can change other rows there.
    exists (
        select
        from tree
        join pg_trigger as t on t.tgrelid = tree.oid
        -- For each row, before, insert.
        where t.tgtype & 7 = 7
            and t.tgenabled <> 'D'
    ) as has_triggers
from pg_class as c
where c.oid = $1::oid
    and c.relkind = 'p'
