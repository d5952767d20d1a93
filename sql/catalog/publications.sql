-- The publications with the names $1, and their tables.
select
    p.pubname::text as name,
    p.puballtables as all_tables,
    p.pubinsert as inserts,
    p.pubupdate as updates,
    p.pubdelete as deletes,
    p.pubtruncate as truncates,
    p.pubviaroot as via_root,
    -- Whether stored generated columns are published; null before Postgres 18, which never does. Read through jsonb, so
    -- one query serves all versions.
    to_jsonb(p) ->> 'pubgencols' = 's' as generated,
    pg_has_role(p.pubowner, 'usage') as owned,
    coalesce(tables.schemas, '{}') as schemas,
    coalesce(tables.names, '{}') as names
from pg_publication as p
left join lateral (
    select
        array_agg(n.nspname::text order by n.nspname, c.relname) as schemas,
        array_agg(c.relname::text order by n.nspname, c.relname) as names
    from pg_publication_rel as pr
    join pg_class as c on c.oid = pr.prrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where pr.prpubid = p.oid
) as tables on true
where p.pubname::text = any($1::text[])
