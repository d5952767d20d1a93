-- emit_row with an owner given by hand, and with the actions created, updated and deleted, which are otherwise those of
-- the table's own changes.

-- The role that this session acts as, also within a function that runs as somebody else.
create function session_role() returns name
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(nullif(current_setting('role'), 'none'), session_user)::name
$$;

comment on function session_role is 'The role that this session acts as.';

-- Whoever says by hand that a row was created, updated or deleted has to be one who could have done that.
create function require_action(source regclass, action text, who name) returns void
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    shown text := {schema}.name_of(source);
    needed text := case action when 'created' then 'insert' when 'updated' then 'update' when 'deleted' then 'delete' end;
begin
    if action = 'truncated' or not {schema}.is_row_event(shown || '.' || action) then
        raise exception 'there is no action % of %', action, shown
            using errcode = 'check_violation',
                hint = format('An action comes from [events] in hooks.toml, "name" = "%s.%s": after adding it there, run rowhook setup.', shown, action);
    end if;
    if needed is null then
        return;
    end if;
    if needed = 'delete' and has_table_privilege(who, source, 'delete')
        or needed <> 'delete' and has_any_column_privilege(who, source, needed)
    then
        return;
    end if;
    raise exception '% may not say that a row of % was %', who, shown, action
        using errcode = 'insufficient_privilege',
            hint = format('It takes the right to %s: grant %s on %s to %I', needed, needed, source, who);
end
$$;

comment on function require_action is 'Refuses an action that hooks.toml does not have, or that the role could not have done itself.';

drop function send_action(regclass, text, text, text);

-- Signs and writes an action on a row that its caller has read. It runs as the owner of the schema, who reads the row
-- again: what is not in the table is not signed. Only a table is read, without its policies, since views and policies
-- are code that others wrote. The settings are those of emit_row.
create function send_action(source regclass, action text, key text, row_read text, owner text) returns pg_lsn
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set row_security = off
    set datestyle = 'ISO'
    set intervalstyle = 'postgres'
    set extra_float_digits = 1
    set timezone = 'UTC'
    set bytea_output = 'hex'
    set xmloption = 'content'
as $$
declare
    shown text := {schema}.name_of(source);
    found_row text;
begin
    perform {schema}.require_action(source, action, {schema}.session_role());
    if not exists (select from pg_class as c where c.oid = source and c.relkind in ('r', 'p')) then
        raise exception '% is not a table', shown
            using errcode = 'wrong_object_type';
    end if;
    begin
        execute format('select one::text from %s as one where %s', source, {schema}.key_condition(source, key))
        into found_row;
    exception
        when insufficient_privilege then
            raise exception 'rowhook may not read %: %', shown, sqlerrm
                using errcode = 'insufficient_privilege',
                    hint = format('Grant select on it to %I, and where it has row security, run: alter role %I bypassrls', current_user, current_user);
    end;
    if found_row is null or found_row is distinct from row_read then
        raise exception '% has no such row with the key %', shown, key
            using errcode = 'no_data_found';
    end if;
    return {schema}.send_message(
        'rowhook',
        convert_to(
            (
                -- Without an owner, an older rowhook reads it too.
                select json_strip_nulls(json_build_object(
                    'schema', n.nspname,
                    'table', c.relname,
                    'action', action,
                    'columns', (
                        select array_agg(a.attname::text order by a.attnum)
                        from pg_attribute as a
                        where a.attrelid = source
                            and a.attnum > 0
                            and not a.attisdropped
                    ),
                    'row', found_row,
                    'owner', send_action.owner
                ))::text
                from pg_class as c
                join pg_namespace as n on n.oid = c.relnamespace
                where c.oid = source
            ),
            'UTF8'
        )
    );
end
$$;

comment on function send_action is 'Signs an action on a row that emit_row has read, and writes it into the stream.';

-- Runs as its caller, who must have the right to read the row. With these settings, values are printed as rowhook reads
-- them.
create function emit_row(source regclass, action text, key text, owner text) returns pg_lsn
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO'
    set intervalstyle = 'postgres'
    set extra_float_digits = 1
    set timezone = 'UTC'
    set bytea_output = 'hex'
    set xmloption = 'content'
as $$
declare
    shown text := {schema}.name_of(source);
    key_columns text[];
    found_row text;
begin
    -- send_action asks this again. Here it is asked so that a missing action is told before a missing row.
    perform {schema}.require_action(source, action, current_user);
    execute format('select one::text from %s as one where %s', source, {schema}.key_condition(source, key))
    into found_row;
    if found_row is null then
        select array_agg(a.attname::text order by k.place)
        into key_columns
        from pg_index as i
        cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = source
            and i.indisprimary
            and k.place <= i.indnkeyatts;
        raise exception '% has no row with the key %', shown, key
            using errcode = 'no_data_found',
                hint = format(
                    'Its key is %s%s.%s',
                    array_to_string(key_columns, ', '),
                    case when cardinality(key_columns) > 1 then ', to be written as a JSON object' end,
                    case when action = 'deleted' then ' Fire deleted while the row is still there.' end
                );
    end if;
    return {schema}.send_action(source, action, key, found_row, owner);
end
$$;

comment on function emit_row(regclass, text, text, text) is 'Fires an action of hooks.toml on the row with this key, for the hooks of this owner; null stands for the row''s own.';

create or replace function emit_row(source regclass, action text, key text) returns pg_lsn
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select {schema}.emit_row(source, action, key, null::text)
$$;

-- Keys that are not text: 7, a uuid, or jsonb for a key of several columns.
create function emit_row(source regclass, action text, key anyelement, owner text) returns pg_lsn
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select {schema}.emit_row(source, action, key::text, owner)
$$;

comment on function emit_row(regclass, text, anyelement, text) is 'Fires an action of hooks.toml on the row with this key, for the hooks of this owner; null stands for the row''s own.';

-- What a hook may be told of the deliveries to others.
insert into event (name, source, all_owners)
values ('rowhook.delivered', 'rowhook', false);
