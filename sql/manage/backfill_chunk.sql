-- The next rows of a table in the order of its key, as messages of the stream. Names in braces are filled in.
--
-- A row is locked against changes until the message about it is committed. Who changed it before has committed before, and who
-- changes it next commits after; so in the stream the message stands between the two, and is never older than what was sent.
-- Nobody is waited for: rows that somebody is changing just now are passed over, and their keys returned.
with chunk as materialized (
    select {key}
    from {table} as one
    where {after}
        and {condition}
    order by {key}
    limit $2
),

locked as materialized (
    select {one_key}, jsonb_build_object({key_pairs}) as its_key, one::text as printed
    from {table} as one
    join chunk using ({key})
    where {condition}
    for share of one skip locked
),

told as (
    select count(
        pg_logical_emit_message(
            true,
            'rowhook.backfill',
            json_build_object(
                'schema', $3::text,
                'table', $4::text,
                'event', $5::text,
                'hook', $6::text,
                'columns', $7::text[],
                'row', printed
            )::text
        )
    ) as rows
    from locked
)

select
    (select count(*) from chunk) as looked_at,
    (select rows from told) as told,
    (select jsonb_build_object({key_pairs_of_chunk})::text from chunk as one order by {key_desc} limit 1) as last,
    (
        select coalesce(jsonb_agg(jsonb_build_object({key_pairs_of_chunk})), '[]')::text
        from chunk as one
        where jsonb_build_object({key_pairs_of_chunk}) not in (select its_key from locked)
    ) as passed_over
