-- The relations with the oids $1, with what decides how they can be published. $2 are rowhook's own publications.
select
    c.oid,
    n.nspname::text as schema,
    c.relname::text as name,
    c.relkind,
    c.relpersistence,
    c.relreplident,
    -- Whether it applies to this role: owners and roles with BYPASSRLS see all rows.
    c.relkind in ('r', 'p') and row_security_active(c.oid) as row_security,
    -- Null of a table that is dropped just now.
    coalesce(has_table_privilege(c.oid, 'select'), false) as may_select,
    pg_has_role(c.relowner, 'usage') as owned,
    pg_get_userbyid(c.relowner)::text as owner,
    columns.names as columns,
    columns.left_out,
    columns.virtual,
    others.partial as partial_publications,
    ancestors.schemas as ancestor_schemas,
    ancestors.names as ancestor_names,
    coalesce(primary_key.columns, '{}') as primary_key,
    identity.columns as identity,
    identity.index_name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
-- All columns, and the generated ones among them: those that the stream leaves out, which from Postgres 18 on are only
-- the virtual ones.
cross join lateral (
    select
        coalesce(array_agg(a.attname::text order by a.attnum), '{}') as names,
        coalesce(
            array_agg(a.attname::text order by a.attnum) filter (
                where a.attgenerated = 'v'
                    or a.attgenerated = 's' and current_setting('server_version_num')::integer < 180000
            ),
            '{}'
        ) as left_out,
        coalesce(array_agg(a.attname::text order by a.attnum) filter (where a.attgenerated = 'v'), '{}') as virtual,
        coalesce(bool_or(a.attgenerated = 's'), false) as some_stored
    from pg_attribute as a
    where a.attrelid = c.oid
        and a.attnum > 0
        and not a.attisdropped
) as columns
-- The partitioned tables that it is a partition of.
cross join lateral (
    select
        coalesce(array_agg(above.nspname::text), '{}') as schemas,
        coalesce(array_agg(root.relname::text), '{}') as names
    from pg_partition_ancestors(c.oid) as ancestor (relid)
    join pg_class as root on root.oid = ancestor.relid
    join pg_namespace as above on above.oid = root.relnamespace
    where ancestor.relid <> c.oid
) as ancestors
-- The publications of others that have updates of the table, but not all of its columns: they list columns (from Postgres
-- 15 on) or leave out stored generated ones (from Postgres 18 on). Whole old rows would make the updates fail.
cross join lateral (
    select coalesce(array_agg(p.pubname::text order by p.pubname), '{}') as partial
    from pg_publication as p
    where p.pubname::text <> all($2::text[])
        and (p.pubupdate or p.pubdelete)
        and (
            exists (
                select
                from pg_publication_rel as pr
                where pr.prpubid = p.oid
                    and to_jsonb(pr) ->> 'prattrs' is not null
                    and (pr.prrelid = c.oid or pr.prrelid in (select relid from pg_partition_ancestors(c.oid)))
            )
            or case
                when columns.some_stored and to_jsonb(p) ->> 'pubgencols' = 'n'
                    then exists (
                        select
                        from pg_get_publication_tables(p.pubname::text) as published
                        where published.relid = c.oid
                            or published.relid in (select relid from pg_partition_ancestors(c.oid))
                    )
                else false
            end
        )
) as others
left join lateral (
    select array_agg(a.attname::text order by k.place) as columns
    from pg_index as i
    cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
    join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indrelid = c.oid
        and i.indisprimary
        and k.place <= i.indnkeyatts
) as primary_key on true
-- The index of the replica identity. Postgres ignores invalid and deferrable ones: if there is no other, an UPDATE of a
-- table that is published for updates fails.
left join lateral (
    select
        array_agg(a.attname::text order by k.place) as columns,
        min(x.relname::text) as index_name
    from pg_index as i
    join pg_class as x on x.oid = i.indexrelid
    cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
    join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indrelid = c.oid
        and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)
        and i.indimmediate
        and i.indisvalid
        and k.place <= i.indnkeyatts
) as identity on true
where c.oid = any($1::oid[])
