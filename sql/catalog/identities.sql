-- The tables that setup made full and that still are, with what gives them back what they had. {identity} is the note that
-- setup made; $1 are our own publications.
select
    n.nspname::text as schema,
    c.relname::text as name,
    case note.previous
        when 'n' then 'nothing'
        when 'i' then 'using index ' || quote_ident(note.index_name)
        else 'default'
    end as previous,
    -- Its index is gone, or someone else publishes its updates, which would fail without an identity.
    note.previous = 'i' and not exists (
        select
        from pg_index as i
        join pg_class as x on x.oid = i.indexrelid
        where i.indrelid = c.oid
            and x.relname = note.index_name
    )
    or exists (
        select
        from pg_publication_tables as p
        where p.schemaname = n.nspname
            and p.tablename = c.relname
            and p.pubname::text <> all($1::text[])
    ) as keep
from {identity} as note
join pg_class as c on c.oid = note.relation
join pg_namespace as n on n.oid = c.relnamespace
where c.relreplident = 'f'
order by n.nspname, c.relname
