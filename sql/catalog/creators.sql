-- The roles that may create in the schema $1, beside its owner, superusers and the role of this session. Everyone is
-- shown as public.
select case when acl.grantee = 0 then 'public' else r.rolname::text end as role
from pg_namespace as n
cross join lateral aclexplode(n.nspacl) as acl
left join pg_roles as r on r.oid = acl.grantee
where n.nspname::text = $1::text
    and acl.privilege_type = 'CREATE'
    and acl.grantee <> n.nspowner
    and r.rolsuper is not true
    and r.rolname is distinct from current_user
order by 1
