-- One row that was passed over, when whoever was changing it has ended. It is waited for: nothing else is locked meanwhile.
with locked as materialized (
    select one::text as printed
    from {table} as one
    where {one_key_is}
        and {condition}
    for share
)

select count(
    pg_logical_emit_message(
        true,
        'rowhook.backfill',
        json_build_object(
            'schema', $2::text,
            'table', $3::text,
            'event', $4::text,
            'hook', $5::text,
            'columns', $6::text[],
            'row', printed
        )::text
    )
) as told
from locked
