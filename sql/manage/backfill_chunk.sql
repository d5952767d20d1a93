-- Writes the next rows of a table, in the order of its key, into the stream as messages. Names in braces are filled in.
--
-- A row stays locked against changes until its message is committed. Whoever changed it before has committed before,
-- and whoever changes it next commits after. So the message stands between the two changes in the stream, and never
-- after a newer version. No lock is waited for: rows that another transaction is changing are skipped, and their keys
-- returned.

-- The keys of the next rows.
with chunk as materialized (
    select {key}
    from {table} as one
    where {after}
        and {condition}
    order by {key}
    limit $2
),

-- Those of them that can be locked. The condition is checked again, on the version that is locked.
locked as materialized (
    select {one_key}, jsonb_build_object({key_pairs}) as its_key, one::text as printed
    from {table} as one
    join chunk as wanted ({wanted}) on {same_key}
    where {condition}
    for share of one skip locked
),

-- A message for each.
emitted as (
    select count(
        send_message(
            'rowhook.backfill',
            -- The stream carries the bytes as they are, whatever the encoding of the database is.
            convert_to(
                json_build_object(
                    'schema', $3::text,
                    'table', $4::text,
                    'event', $5::text,
                    'hook', $6::text,
                    'columns', $7::text[],
                    'row', printed
                )::text,
                'UTF8'
            )
        )
    ) as rows
    from locked
)

select
    (select count(*) from chunk) as selected,
    (select rows from emitted) as emitted,
    (select jsonb_build_object({key_pairs_of_chunk})::text from chunk as one order by {key_desc} limit 1) as last,
    (
        select coalesce(jsonb_agg(jsonb_build_object({key_pairs_of_chunk})), '[]')::text
        from chunk as one
        where jsonb_build_object({key_pairs_of_chunk}) not in (select its_key from locked)
    ) as skipped
