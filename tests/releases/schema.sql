-- All that is in the schema rowhook, a line each, in an order of its own: what two databases must have alike to have the
-- same tables. Expressions are written without the parentheses that say how they came about.
with ours as (
    select oid from pg_namespace where nspname = 'rowhook'
),
relations as (
    select c.* from pg_class c join ours on c.relnamespace = ours.oid
)
select string_agg(line, E'\n' order by line collate "C")
from (
    -- The order of columns does not count: what asks for them names them.
    select format(
        'column %s.%s %s%s default %s identity %s generated %s: %s',
        r.relname, a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
        coalesce(pg_get_expr(d.adbin, d.adrelid, true), '-'), a.attidentity, a.attgenerated,
        coalesce(col_description(r.oid, a.attnum), '-')
    )
    from relations r
    join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
    where r.relkind in ('r', 'p', 'v')
    union all
    select format('%s %s: identity %s, %s, %s', r.relkind, r.relname, r.relreplident,
        coalesce(array_to_string(r.reloptions, ' '), '-'), coalesce(obj_description(r.oid, 'pg_class'), '-'))
    from relations r
    union all
    -- How a constraint not null is stored depends on the version of Postgres; the columns say it.
    select format('constraint %s on %s: %s', conname, r.relname, pg_get_constraintdef(c.oid, true))
    from pg_constraint c join relations r on c.conrelid = r.oid
    where c.contype <> 'n'
    union all
    select pg_get_indexdef(r.oid) from relations r where r.relkind = 'i'
    union all
    select format('%s: %s', pg_get_triggerdef(t.oid, true), t.tgenabled)
    from pg_trigger t join relations r on t.tgrelid = r.oid
    where not t.tgisinternal
    union all
    select format('%s%s', pg_get_functiondef(p.oid), coalesce(obj_description(p.oid, 'pg_proc'), '-'))
    from pg_proc p join ours on p.pronamespace = ours.oid
    union all
    -- Rights by what they are, and not by how a dump puts them: the owner's own are not always written down.
    select distinct format('%s may %s %s', case a.grantee when 0 then 'everybody' else '-' end, a.privilege_type, p.proname)
    from pg_proc p join ours on p.pronamespace = ours.oid
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where a.grantee <> p.proowner
    union all
    select format('migration %s %s', version, name) from rowhook.migration
) all_of_it (line)
