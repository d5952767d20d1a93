-- The tables with the schemas $1 and names $2, those with the oids $3, and those of the publications $4 (of all changes)
-- and $5 (of inserts), with what decides how their changes are published, their primary keys, and the transactions that
-- named them. Asked again and again, so it reads little.
with named as (
    select c.oid
    from unnest($1::text[], $2::text[]) as wanted (schema, name)
    join pg_catalog.pg_namespace as n on n.nspname = wanted.schema
    join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = wanted.name
    where c.relkind in ('r', 'p')
),
published as (
    select
        pr.prrelid as oid,
        bool_or(p.pubname = $4::text) as in_whole,
        bool_or(p.pubname = $5::text) as in_inserts
    from pg_catalog.pg_publication_rel as pr
    join pg_catalog.pg_publication as p on p.oid = pr.prpubid
    where p.pubname in ($4::text, $5::text)
    group by pr.prrelid
)
select
    c.oid,
    n.nspname::text as schema,
    c.relname::text as name,
    coalesce(published.in_whole, false) as in_whole,
    coalesce(published.in_inserts, false) as in_inserts,
    identity.text as identity,
    array(
        select a.attname::text
        from pg_catalog.pg_index as i
        cross join unnest(i.indkey::int2[]) with ordinality as part (attnum, place)
        join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum = part.attnum
        where i.indrelid = c.oid
            and i.indisprimary
            and part.place <= i.indnkeyatts
        order by part.place
    ) as key,
    -- The type of its rows gets the same name.
    (select t.xmin::text::int8 from pg_catalog.pg_type as t where t.oid = c.reltype) as named_by,
    -- Postgres 14 does not tell a stream that is open of partitions that are attached or detached.
    case when current_setting('server_version_num')::int < 150000 then identity.parts end as untold_parts
from (
    select oid from named
    union
    select oid from published
    union
    select unnest($3::oid[])
) as all_tables
join pg_catalog.pg_class as c on c.oid = all_tables.oid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join published on published.oid = c.oid
-- The replica identity of the table and of each partition, the index that it uses, and whether there is a virtual
-- generated column, which cannot be published with the whole old row.
cross join lateral (
    select string_agg(
        concat_ws(
            ' ',
            part.oid,
            part.relreplident,
            (
                select min(i.indexrelid)
                from pg_catalog.pg_index as i
                where i.indrelid = part.oid
                    and (part.relreplident = 'd' and i.indisprimary or part.relreplident = 'i' and i.indisreplident)
                    and i.indimmediate
                    and i.indisvalid
            ),
            case
                when exists (
                    select
                    from pg_catalog.pg_attribute as a
                    where a.attrelid = part.oid
                        and a.attgenerated = 'v'
                        and not a.attisdropped
                )
                    then 'virtual'
            end
        ),
        ', '
        order by part.oid
    ) as text,
    string_agg(part.oid::text, ' ' order by part.oid) as parts
    from (
        -- pg_partition_tree would wait for locks.
        with recursive tree as (
            select c.oid as oid
            union all
            select i.inhrelid
            from tree
            join pg_catalog.pg_inherits as i on i.inhparent = tree.oid
            where c.relkind = 'p'
        )
        select tree.oid from tree
    ) as parts (oid)
    join pg_catalog.pg_class as part on part.oid = parts.oid
) as identity
order by c.oid
