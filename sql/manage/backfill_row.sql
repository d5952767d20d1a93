-- Writes one row that was skipped into the stream. Its lock is waited for, since nothing else is locked meanwhile.
with locked as materialized (
    select one::text as printed
    from {table} as one
    where {one_key_is}
        and {condition}
    for share
)

select count(
    send_message(
        'rowhook.backfill',
        -- The stream carries the bytes as they are, whatever the encoding of the database is.
        convert_to(
            json_build_object(
                'schema', $2::text,
                'table', $3::text,
                'event', $4::text,
                'hook', $5::text,
                'columns', $6::text[],
                'row', printed
            )::text,
            'UTF8'
        )
    )
) as emitted
from locked
