-- The tables of the publication $1 of which the stream carries all that happens to all of their rows.
select
    n.nspname::text as schema,
    c.relname::text as name
from pg_catalog.pg_publication as p
join pg_catalog.pg_publication_rel as pr on pr.prpubid = p.oid
join pg_catalog.pg_class as c on c.oid = pr.prrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where p.pubname = $1::text::pg_catalog.name
    and p.pubinsert
    and p.pubupdate
    and p.pubdelete
    -- Rows of tables that inherit from this one, and of partitions, would come as those of another table.
    and case when c.relkind = 'p' then p.pubviaroot else not c.relhassubclass end
    and not c.relispartition
    -- Filters of rows and lists of columns came with Postgres 15.
    and pg_catalog.to_jsonb(pr) ->> 'prqual' is null
    and pg_catalog.to_jsonb(pr) ->> 'prattrs' is null
