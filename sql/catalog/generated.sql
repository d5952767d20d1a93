-- The generated columns of the table with the oid $1: how each is computed, and whether rowhook may compute it.
-- Run it with search_path = pg_catalog, so that the expressions name everything with its schema.
with generated as (
    select
        a.attnum,
        a.attname,
        a.atttypid,
        a.atttypmod,
        a.xmin as attribute_xmin,
        d.oid as default_oid,
        d.xmin as default_xmin,
        pg_get_expr(d.adbin, d.adrelid) as expression
    from pg_catalog.pg_attribute as a
    join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = $1
        and a.attgenerated <> ''
        and not a.attisdropped
),
-- What each expression uses. Before Postgres 15 the column itself depends on it.
used as (
    select g.attnum, dep.refclassid, dep.refobjid, dep.refobjsubid
    from generated as g
    join pg_catalog.pg_depend as dep
        on dep.classid = 'pg_catalog.pg_attrdef'::regclass and dep.objid = g.default_oid
        or dep.classid = 'pg_catalog.pg_class'::regclass and dep.objid = $1 and dep.objsubid = g.attnum
),
base as (
    select distinct used.attnum, b.attnum as base, b.attname, b.atttypid, b.atttypmod, b.xmin as attribute_xmin
    from used
    join pg_catalog.pg_attribute as b on b.attrelid = $1 and b.attnum = used.refobjsubid
    where used.refclassid = 'pg_catalog.pg_class'::regclass
        and used.refobjid = $1
        and used.refobjsubid > 0
        and used.refobjsubid <> used.attnum
),
-- The functions that an expression calls, by name or as an operator.
called as (
    select used.attnum, p.oid, p.prolang, p.xmin
    from used
    left join pg_catalog.pg_operator as o
        on used.refclassid = 'pg_catalog.pg_operator'::regclass and o.oid = used.refobjid
    join pg_catalog.pg_proc as p
        on p.oid = case used.refclassid
            when 'pg_catalog.pg_proc'::regclass then used.refobjid
            when 'pg_catalog.pg_operator'::regclass then o.oprcode
        end
),
-- The types that values are read as.
typed as (
    select attnum, atttypid as type from generated
    union
    select attnum, atttypid from base
    union
    select attnum, refobjid from used where refclassid = 'pg_catalog.pg_type'::regclass
)
select
    g.attname::text as name,
    format_type(g.atttypid, g.atttypmod) as type,
    g.expression,
    array(select b.attname::text from base as b where b.attnum = g.attnum order by b.base) as bases,
    array(
        select format_type(b.atttypid, b.atttypmod) from base as b where b.attnum = g.attnum order by b.base
    ) as base_types,
    -- Code that a user wrote runs with our rights. That is allowed where its author could have them anyway.
    (
        owner.rolsuper
        or owner.rolname = session_user
        or not (
            exists (
                select
                from called
                join pg_catalog.pg_language as l on l.oid = called.prolang
                where called.attnum = g.attnum
                    and l.lanname not in ('internal', 'c')
            )
            or exists (
                select
                from used
                where used.attnum = g.attnum
                    and used.refclassid not in (
                        'pg_catalog.pg_proc'::regclass,
                        'pg_catalog.pg_operator'::regclass,
                        'pg_catalog.pg_type'::regclass,
                        'pg_catalog.pg_collation'::regclass,
                        'pg_catalog.pg_ts_config'::regclass,
                        'pg_catalog.pg_class'::regclass
                    )
                    or used.attnum = g.attnum
                    and used.refclassid = 'pg_catalog.pg_class'::regclass
                    and used.refobjid <> $1
            )
            -- Domains have constraints, composites have fields of any type, and a cast from text may be a function.
            or exists (
                select
                from typed
                join pg_catalog.pg_type as t on t.oid = typed.type
                left join pg_catalog.pg_type as element on element.oid = t.typelem
                left join pg_catalog.pg_range as r on r.rngtypid = t.oid or r.rngtypid = t.typelem
                left join pg_catalog.pg_type as bound on bound.oid = r.rngsubtype
                where typed.attnum = g.attnum
                    and (
                        t.typtype not in ('b', 'e', 'r', 'm')
                        or element.typtype not in ('b', 'e', 'r', 'm')
                        or bound.typtype not in ('b', 'e')
                        or exists (
                            select
                            from pg_catalog.pg_cast as k
                            join pg_catalog.pg_proc as p on p.oid = k.castfunc
                            join pg_catalog.pg_language as l on l.oid = p.prolang
                            where k.castsource = 'pg_catalog.text'::regtype
                                and k.casttarget = t.oid
                                and l.lanname not in ('internal', 'c')
                        )
                    )
            )
        )
    ) as trusted,
    owner.rolname::text as owner,
    -- A partition may compute it in another way.
    not exists (
        select
        from pg_catalog.pg_partition_tree($1::oid::regclass) as part
        join pg_catalog.pg_attribute as a on a.attrelid = part.relid and a.attname = g.attname
        left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where pg_get_expr(d.adbin, d.adrelid) is distinct from g.expression
    ) as uniform,
    -- The transactions that made it what it is. Rows that were written before them were computed in another way.
    array(
        select g.default_xmin::text::int8
        union
        select g.attribute_xmin::text::int8
        union
        select b.attribute_xmin::text::int8 from base as b where b.attnum = g.attnum
        union
        select called.xmin::text::int8 from called where called.attnum = g.attnum
    ) as made_by,
    pg_snapshot_xmax(pg_current_snapshot())::text::int8 as next_xid
from generated as g
join pg_catalog.pg_class as c on c.oid = $1
join pg_catalog.pg_roles as owner on owner.oid = c.relowner
-- Of a table that is dropped just now, pg_get_expr knows nothing any more.
where g.expression is not null
order by g.attnum
