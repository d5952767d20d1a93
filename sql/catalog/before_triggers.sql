-- The triggers that ask before a commit, of the function ask_row in the schema $1. Those of partitions are made and
-- dropped with that of their table.
select
    n.nspname::text as schema,
    c.relname::text as name,
    t.tgname::text as trigger,
    t.tgargs as arguments,
    (t.tgtype & 4) <> 0 as inserts,
    (t.tgtype & 16) <> 0 as updates,
    (t.tgtype & 8) <> 0 as deletes,
    t.tgenabled = 'D' as disabled
from pg_trigger as t
join pg_proc as p on p.oid = t.tgfoid
join pg_namespace as its on its.oid = p.pronamespace
join pg_class as c on c.oid = t.tgrelid
join pg_namespace as n on n.oid = c.relnamespace
where its.nspname::text = $1::text
    and p.proname = 'ask_row'
    and t.tgparentid = 0
order by 1, 2, 3
