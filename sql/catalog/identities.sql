-- The tables whose replica identity setup set to full and that still have it, with the clause that restores the
-- previous one. {identity} is the table in which setup recorded that; $1 are rowhook's own publications.
select
    n.nspname::text as schema,
    c.relname::text as name,
    case note.previous
        when 'n' then 'nothing'
        when 'i' then 'using index ' || quote_ident(note.index_name)
        else 'default'
    end as previous,
    -- Full is kept if the index of the previous identity no longer exists, or if another publication has the table: its
    -- updates could fail without an identity.
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
    ) as keep,
    pg_get_userbyid(c.relowner)::text as owner,
    pg_has_role(current_user, c.relowner, 'usage') as owned
from {identity} as note
join pg_class as c on c.oid = note.relation
join pg_namespace as n on n.oid = c.relnamespace
where c.relreplident = 'f'
order by n.nspname, c.relname
