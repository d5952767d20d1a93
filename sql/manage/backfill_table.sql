-- What a backfill needs of a table ($1): its primary key with the schemas of the operators that compare it, its columns,
-- and about how many rows it has. The operators of a type from an extension are in the extension's schema.
select
    (
        select array_agg(a.attname::text order by k.place)
        from pg_index as i
        cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = c.oid
            and i.indisprimary
            and k.place <= i.indnkeyatts
    ) as key,
    (
        select array_agg(
            coalesce(
                (
                    select quote_ident(home.nspname)
                    from pg_opclass as class
                    join pg_amop as member
                        on member.amopfamily = class.opcfamily
                        and member.amoplefttype = class.opcintype
                        and member.amoprighttype = class.opcintype
                        -- Equality, in every B-tree.
                        and member.amopstrategy = 3
                    join pg_operator as operator on operator.oid = member.amopopr
                    join pg_namespace as home on home.oid = operator.oprnamespace
                    where class.oid = i.indclass[k.place - 1]
                ),
                'pg_catalog'
            )
            order by k.place
        )
        from pg_index as i
        cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        where i.indrelid = c.oid
            and i.indisprimary
            and k.place <= i.indnkeyatts
    ) as compared_in,
    (
        select array_agg(a.attname::text order by a.attnum)
        from pg_attribute as a
        where a.attrelid = c.oid
            and a.attnum > 0
            and not a.attisdropped
    ) as columns,
    greatest(c.reltuples, 0)::bigint as estimate,
    current_setting('track_commit_timestamp') = 'on' as knows_commit_times
from pg_class as c
where c.oid = to_regclass($1::text)
