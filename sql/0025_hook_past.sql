-- rowhook reads again from the position of its slot when it starts, and meets the hooks as they were there: what has
-- happened to them since is undone, for which the stream has every old row. Two things were missing for that.

-- TRUNCATE names no row. With this trigger the rows are deleted first, and so stand in the stream.
create function delete_hooks_first() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    delete from {schema}.hook;
    return null;
end
$$;

comment on function delete_hooks_first is 'Deletes all hooks before a TRUNCATE, so that the stream has their rows.';
revoke all on function delete_hooks_first from public;

create trigger hooks_are_deleted_first
    before truncate on hook
    for each statement
    execute function delete_hooks_first();

alter table hook enable always trigger hooks_are_deleted_first;

-- Changes of a table are in the stream only from where it is published.
alter table progress
    add column hook_table oid;

comment on column progress.hook_table is 'The table of the hooks at that position.';
comment on table off_hook is
    'Hooks of a table of the application that are switched off at the position in progress; written together with it.';
