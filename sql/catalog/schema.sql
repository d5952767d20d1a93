-- The schema $1: is it there, did setup make it, and what else lives in it than the relations $2.
select
    n.oid,
    coalesce(obj_description(n.oid, 'pg_namespace') = $3::text, false) as made_by_setup,
    has_schema_privilege(n.oid, 'create') as may_create,
    to_regclass(format('%I.migration', n.nspname)) is not null as migrated,
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
    ) as strangers
from pg_namespace as n
where n.nspname::text = $1::text
