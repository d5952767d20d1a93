-- Custom events: those that SQL fires itself, without a change of a row. The event is part of the transaction: a
-- rollback takes it back, and its place among the row changes is where the function was called.
--
-- The function runs as its owner, because a role that emits may lack the right to read `event`. An application needs
-- `usage` on the schema, and nothing else.
create function emit(event text, payload jsonb default null, owner text default null) returns pg_lsn
    language plpgsql
    security definer
    set search_path from current
as $$
begin
    if not exists (select from event as known where known.name = emit.event and known.source = 'custom') then
        raise exception 'there is no custom event %', emit.event
            using errcode = 'check_violation',
                hint = format(
                    'The custom events are %s. They come from [events] in hooks.toml, "name" = "custom": after adding one there, run rowhook setup.',
                    coalesce((select string_agg(name, ', ' order by name) from event as known where known.source = 'custom'), 'none')
                );
    end if;
    return pg_logical_emit_message(
        true,
        'rowhook',
        json_build_object('event', emit.event, 'owner', emit.owner, 'payload', emit.payload)::text
    );
end
$$;

comment on function emit is 'Fires a custom event of hooks.toml with any payload, for the hooks of an owner, as part of this transaction.';
