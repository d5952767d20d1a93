-- TRUNCATE happens to no row, so emit_row refuses an action of that name even where an event is on it.

create or replace function is_row_event(source text) returns boolean
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select not ends_with.truncated and exists (
        select from {schema}.event as known where known.source = is_row_event.source
    )
    from (select right(is_row_event.source, 10) = '.truncated' as truncated) as ends_with
$$;
