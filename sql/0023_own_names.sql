-- What rowhook's functions say and find depends no longer on who calls them, and with which settings.
--
-- Names of our own carry their schema, and everything else is found in pg_catalog, so that nothing that others have
-- made can take its place. Messages are UTF-8 whatever the encoding of the database is, since the stream carries their
-- bytes as they are. A key is compared by the operator of its own index, wherever an extension has put that.

create or replace function refuse_unknown_event() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.event = '*'
        or exists (select from {schema}.event where name = new.event)
        or new.event like '%.*'
            and exists (select from {schema}.event where starts_with(name, left(new.event, -1)))
    then
        return new;
    end if;
    raise exception 'there is no event %', new.event
        using errcode = 'check_violation',
            column = 'event',
            hint = format(
                'The events are %s. They come from [events] in hooks.toml: after adding one there, run rowhook setup.',
                (select string_agg(name, ', ' order by name) from {schema}.event)
            );
end
$$;

create or replace function touch_hook() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    new.updated_at := clock_timestamp();
    if new.active and not old.active then
        new.disabled_at := null;
        new.disabled_reason := null;
    end if;
    if new.invalid is not distinct from old.invalid
        and (
            new.event, new.target, new.secret, new.filter, new.headers, new.payload,
            new.signature, new.previous_secret, new.previous_secret_expires_at
        ) is distinct from (
            old.event, old.target, old.secret, old.filter, old.headers, old.payload,
            old.signature, old.previous_secret, old.previous_secret_expires_at
        )
    then
        new.invalid := null;
    end if;
    return new;
end
$$;

alter function call_courier() set search_path = pg_catalog, pg_temp;

create or replace function emit(event text, payload jsonb default null, owner text default null) returns pg_lsn
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (
        select from {schema}.event as known where known.name = emit.event and known.source = 'custom'
    ) then
        raise exception 'there is no custom event %', emit.event
            using errcode = 'check_violation',
                hint = format(
                    'The custom events are %s. They come from [events] in hooks.toml, "name" = "custom": after adding one there, run rowhook setup.',
                    coalesce(
                        (
                            select string_agg(name, ', ' order by name)
                            from {schema}.event as known
                            where known.source = 'custom'
                        ),
                        'none'
                    )
                );
    end if;
    return pg_logical_emit_message(
        true,
        'rowhook',
        convert_to(
            json_build_object('event', emit.event, 'owner', emit.owner, 'payload', emit.payload)::text,
            'UTF8'
        )
    );
end
$$;

create or replace function is_row_event(source text) returns boolean
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select exists (select from {schema}.event as known where known.source = is_row_event.source)
$$;

create or replace function emit_row(source regclass, action text, key text) returns pg_lsn
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
    schema_name text;
    table_name text;
    shown text;
    key_columns text[];
    condition text;
    columns text[];
    found_row text;
begin
    select n.nspname, c.relname
    into schema_name, table_name
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = source;
    -- As hooks.toml calls it.
    shown := case when schema_name = 'public' then '' else schema_name || '.' end || table_name;
    if action in ('created', 'updated', 'deleted') or not {schema}.is_row_event(shown || '.' || action) then
        raise exception 'there is no action % of %', action, shown
            using errcode = 'check_violation',
                hint = format('An action of your own comes from [events] in hooks.toml, "name" = "%s.%s": after adding it there, run rowhook setup.', shown, action);
    end if;
    -- The key's columns, each compared as its own type and as its index does, so that the index serves.
    select
        array_agg(a.attname::text order by k.place),
        string_agg(
            format(
                '%I operator(%s) %s::%s',
                a.attname,
                coalesce(equals.name, 'pg_catalog.='),
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
    left join lateral (
        select format('%I.%s', n.nspname, o.oprname) as name
        from pg_opclass as class
        join pg_amop as member
            on member.amopfamily = class.opcfamily
            and member.amoplefttype = class.opcintype
            and member.amoprighttype = class.opcintype
            and member.amopstrategy = 3
        join pg_operator as o on o.oid = member.amopopr
        join pg_namespace as n on n.oid = o.oprnamespace
        where class.oid = i.indclass[k.place - 1]
    ) as equals on true
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
    execute format('select one::text from %s as one where %s', source, condition) into found_row;
    if found_row is null then
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
        convert_to(
            json_build_object(
                'schema', schema_name,
                'table', table_name,
                'action', action,
                'columns', columns,
                'row', found_row
            )::text,
            'UTF8'
        )
    );
end
$$;

create or replace function emit_row(source regclass, action text, key anyelement) returns pg_lsn
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select {schema}.emit_row(source, action, key::text)
$$;
