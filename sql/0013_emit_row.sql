-- Actions of the application's own on a row: with "book.read" = "bookstore_book.read" in hooks.toml, the application
-- runs select rowhook.emit_row('bookstore_book', 'read', 7) in the transaction in which the book was read.
--
-- The event carries the row as it is when the function is called, so what is sent is what that transaction saw.

-- Whether hooks.toml has an event with this source, such as bookstore_book.read.
create function is_row_event(source text) returns boolean
    language sql
    stable
    security definer
    set search_path from current
as $$
    select exists (select from event as known where known.source = is_row_event.source)
$$;

comment on function is_row_event is 'Has hooks.toml an event with this table and action?';

-- Runs as its caller, who must have the right to read the row. With these settings, values are printed as rowhook reads
-- them.
create function emit_row(source regclass, action text, key text) returns pg_lsn
    language plpgsql
    set search_path from current
    set datestyle = 'ISO'
    set intervalstyle = 'postgres'
    set extra_float_digits = 1
    set timezone = 'UTC'
    set bytea_output = 'hex'
    set xmloption = 'content'
as $$
declare
    schema_name text;
    table_name text;
    shown text;
    key_columns text[];
    condition text;
    columns text[];
    found text;
begin
    select n.nspname, c.relname
    into schema_name, table_name
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = source;
    -- As hooks.toml calls it.
    shown := case when schema_name = 'public' then '' else schema_name || '.' end || table_name;
    if action in ('created', 'updated', 'deleted') or not is_row_event(shown || '.' || action) then
        raise exception 'there is no action % of %', action, shown
            using errcode = 'check_violation',
                hint = format('An action of your own comes from [events] in hooks.toml, "name" = "%s.%s": after adding it there, run rowhook setup.', shown, action);
    end if;
    -- The key's columns, each compared as its own type, so that the index serves.
    select
        array_agg(a.attname::text order by k.place),
        string_agg(
            format(
                '%I = %s::%s',
                a.attname,
                case when i.indnkeyatts = 1 then quote_nullable(key) else format('(%L::jsonb ->> %L)', key, a.attname) end,
                format_type(a.atttypid, a.atttypmod)
            ),
            ' and '
            order by k.place
        )
    into key_columns, condition
    from pg_index as i
    cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = source
        and i.indisprimary
        and k.place <= i.indnkeyatts;
    if condition is null then
        raise exception '% has no primary key to find a row by', shown
            using errcode = 'undefined_object';
    end if;
    select array_agg(a.attname::text order by a.attnum)
    into columns
    from pg_attribute as a
    where a.attrelid = source
        and a.attnum > 0
        and not a.attisdropped;
    execute format('select one::text from %s as one where %s', source, condition) into found;
    if found is null then
        raise exception '% has no row with the key %', shown, key
            using errcode = 'no_data_found',
                hint = format(
                    'Its key is %s%s.',
                    array_to_string(key_columns, ', '),
                    case when cardinality(key_columns) > 1 then ', to be written as a JSON object' end
                );
    end if;
    return pg_logical_emit_message(
        true,
        'rowhook',
        json_build_object(
            'schema', schema_name,
            'table', table_name,
            'action', action,
            'columns', columns,
            'row', found
        )::text
    );
end
$$;

-- Keys that are not text: 7, a uuid, or jsonb for a key of several columns.
create function emit_row(source regclass, action text, key anyelement) returns pg_lsn
    language sql
    set search_path from current
as $$
    select emit_row(source, action, key::text)
$$;

comment on function emit_row(regclass, text, text) is 'Fires an action of hooks.toml on the row with this key, as part of this transaction.';
comment on function emit_row(regclass, text, anyelement) is 'Fires an action of hooks.toml on the row with this key, as part of this transaction.';
