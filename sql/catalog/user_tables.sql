-- The tables that somebody may want events of, with what `rowhook init` says about each. Without those of rowhook's own
-- schema, whose comment is $1.
select
    namespace.nspname::text as schema,
    class.relname::text as name,
    -- The tables in which frameworks keep their own records.
    class.relname ~ '^(django_|auth_permission$|schema_migrations$|ar_internal_metadata$|alembic_version|_prisma_|flyway_|knex_)' as of_framework,
    (class.relkind = 'r' or primary_key.columns <> '{}') and identity.of_all as identified,
    has_table_privilege(class.oid, 'select') as readable,
    primary_key.columns as primary_key,
    array(
        select attribute.attname::text
        from pg_attribute as attribute
        where attribute.attrelid = class.oid
            and attribute.attnum > 0
            and not attribute.attisdropped
        order by attribute.attnum
    ) as columns
from pg_class as class
join pg_namespace as namespace on namespace.oid = class.relnamespace
cross join lateral (
    select
        array(
            select attribute.attname::text
            from pg_index as index
            cross join lateral unnest(index.indkey::smallint[]) with ordinality as key (attnum, place)
            join pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum = key.attnum
            where index.indrelid = class.oid
                and index.indisprimary
                and key.place <= index.indnkeyatts
            order by key.place
        ) as columns
) as primary_key
-- Whether the table, or each partition that holds its rows, has a replica identity.
cross join lateral (
    select
        coalesce(
            bool_and(
                -- Whole rows cannot be published where a virtual generated column is in them.
                part.relreplident = 'f' and not exists (
                    select
                    from pg_attribute as attribute
                    where attribute.attrelid = part.oid
                        and attribute.attgenerated = 'v'
                        and not attribute.attisdropped
                )
                or exists (
                    select
                    from pg_index as index
                    where index.indrelid = part.oid
                        and (part.relreplident = 'd' and index.indisprimary or part.relreplident = 'i' and index.indisreplident)
                        and index.indimmediate
                        and index.indisvalid
                )
            ),
            true
        ) as of_all
    from (
        -- pg_partition_tree would wait for locks.
        with recursive tree as (
            select class.oid as oid
            union all
            select i.inhrelid
            from tree
            join pg_inherits as i on i.inhparent = tree.oid
            where class.relkind = 'p'
        )
        select tree.oid from tree
    ) as parts (oid)
    join pg_class as part
        on part.oid = parts.oid
        and part.relkind <> 'p'
) as identity
where class.relkind in ('r', 'p')
    and class.relpersistence = 'p'
    and not class.relispartition
    and namespace.nspname <> 'information_schema'
    and namespace.nspname not like 'pg\_%'
    and obj_description(namespace.oid, 'pg_namespace') is distinct from $1::text
    -- Without the tables of extensions.
    and not exists (
        select
        from pg_depend
        where classid = 'pg_class'::regclass
            and objid = class.oid
            and deptype = 'e'
    )
order by namespace.nspname, class.relname
