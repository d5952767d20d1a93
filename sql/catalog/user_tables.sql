-- The tables that somebody may want events of, with what `rowhook init` says about each.
select
    namespace.nspname as schema,
    class.relname as name,
    -- Whole rows cannot be published where a virtual generated column is in them.
    class.relreplident = 'f' and not exists (
        select
        from pg_attribute as attribute
        where attribute.attrelid = class.oid
            and attribute.attgenerated = 'v'
            and not attribute.attisdropped
    )
        or class.relreplident in ('d', 'i') and exists (
            select
            from pg_index as index
            where index.indrelid = class.oid
                and (class.relreplident = 'd' and index.indisprimary or class.relreplident = 'i' and index.indisreplident)
        ) as identified,
    exists (
        select
        from pg_attribute as attribute
        where attribute.attrelid = class.oid
            and attribute.attname = 'user_id'
            and not attribute.attisdropped
    ) as has_user_id
from pg_class as class
join pg_namespace as namespace on namespace.oid = class.relnamespace
where class.relkind in ('r', 'p')
    and class.relpersistence = 'p'
    and not class.relispartition
    and namespace.nspname not in ('information_schema', 'rowhook')
    and namespace.nspname not like 'pg\_%'
    -- Without the tables of extensions, and those in which frameworks keep their own records.
    and not exists (select from pg_depend where objid = class.oid and deptype = 'e')
    and class.relname !~ '^(django_|auth_permission|schema_migrations|ar_internal_metadata|alembic_version|_prisma_|flyway_|knex_)'
order by namespace.nspname, class.relname
