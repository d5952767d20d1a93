-- Notes which tables the names of hooks.toml stand for: of each table ($2) the name ($3, $4), its keys ($5), whether
-- another one has the name since ($6), what it was called then ($7, $8), who gave the other one the name ($9), and how it
-- is divided ($10). All that is not among these is forgotten, and so is what the stream has passed. Returns the latter.
with given as (
    select *
    from unnest(
        $2::oid[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::bigint[],
        $10::text[]
    ) as given (oid, schema, name, keys, is_former, later_schema, later_name, taken_by, division)
),

passed as (
    select noted.oid
    from followed as noted
    join progress on progress.slot = noted.slot
    join given on given.oid = noted.oid
    where noted.slot = $1
        and noted.relation = 'followed'::regclass
        and given.is_former
        and noted.until <= progress.confirmed
),

forgotten as (
    delete from followed
    where slot = $1
        and (oid not in (select oid from given) or oid in (select oid from passed))
),

noted as (
    insert into followed (
        slot, oid, schema, name, keys, is_former, later_schema, later_name, taken_by, division, until, relation
    )
    select
        $1, oid, schema, name, keys::jsonb, is_former, later_schema, later_name, taken_by, division::jsonb,
        case when is_former then pg_current_wal_insert_lsn() end,
        'followed'::regclass
    from given
    where oid not in (select oid from passed)
    on conflict (slot, oid) do update
    set
        schema = excluded.schema,
        name = excluded.name,
        keys = excluded.keys,
        is_former = excluded.is_former,
        later_schema = excluded.later_schema,
        later_name = excluded.later_name,
        taken_by = excluded.taken_by,
        division = excluded.division,
        until = case
            when followed.relation = excluded.relation and followed.is_former and excluded.is_former
                then followed.until
            else excluded.until
        end,
        relation = excluded.relation
)

select oid from passed
