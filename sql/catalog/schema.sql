-- The schema $1, no row if it does not exist: whether setup created it (its comment is $3 then), what the role may do
-- in it, and which relations it has besides rowhook's tables $2.
select
    n.oid,
    coalesce(obj_description(n.oid, 'pg_namespace') = $3::text, false) as made_by_setup,
    has_schema_privilege(n.oid, 'create') as may_create,
    own.migrated,
    own.may_read and has_schema_privilege(n.oid, 'usage') as may_read,
    (
        select coalesce(array_agg(c.relname::text order by c.relname), '{}')
        from pg_class as c
        where c.relnamespace = n.oid
            and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and c.relname::text <> all($2::text[])
            -- Sequences of identity columns belong to their tables.
            and not exists (
                select
                from pg_depend as d
                where d.classid = 'pg_class'::regclass
                    and d.objid = c.oid
                    and d.deptype in ('a', 'i')
            )
    ) as other_relations
from pg_namespace as n
-- Those of rowhook's own tables that exist.
cross join lateral (
    select
        coalesce(bool_or(c.relname = 'migration'), false) as migrated,
        coalesce(bool_and(has_table_privilege(c.oid, 'select')), true) as may_read
    from pg_class as c
    where c.relnamespace = n.oid
        and c.relkind = 'r'
        and c.relname::text = any($2::text[])
) as own
where n.nspname::text = $1::text
