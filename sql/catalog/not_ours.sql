-- What rowhook made and a role other than this one owns: of the publications $1, the schema $2 if setup made it ($3),
-- and else the tables $4 in it.
select 'the publication ' || pubname::text as what, pg_get_userbyid(pubowner)::text as owner
from pg_publication
where pubname::text = any($1::text[]) and not pg_has_role(current_user, pubowner, 'usage')
union all
select 'the schema ' || nspname::text, pg_get_userbyid(nspowner)::text
from pg_namespace
where $3::boolean and nspname::text = $2::text and not pg_has_role(current_user, nspowner, 'usage')
union all
select 'the table ' || n.nspname::text || '.' || c.relname::text, pg_get_userbyid(c.relowner)::text
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where not $3::boolean
    and n.nspname::text = $2::text
    and c.relname::text = any($4::text[])
    and c.relkind in ('r', 'p')
    and not pg_has_role(current_user, c.relowner, 'usage')
