-- The key by which messages in the stream prove that rowhook's own functions have written them.
--
-- Every role that can connect may call pg_logical_emit_message with any prefix and any content, so neither proves
-- anything. Whoever can read this table can forge events; only the owner of the schema and rowhook's role can.
create table message_key (
    single boolean primary key default true check (single),
    key bytea not null check (length(key) = 64),
    -- The key as both hashes of HMAC (RFC 2104) begin with it.
    inner_pad bytea not null check (length(inner_pad) = 64),
    outer_pad bytea not null check (length(outer_pad) = 64),
    -- Messages that stand in the WAL before this were written without proof, by the functions of an older rowhook.
    -- Null until a rowhook runs.
    since pg_lsn
);

comment on table message_key is 'The key that signs messages in the stream. Never grant it to another role: whoever reads it can forge events.';

with drawn as materialized (
    -- 122 random bits of each identifier; Postgres has no other source of them without an extension.
    select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        || sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) as key
)
insert into message_key (key, inner_pad, outer_pad)
select
    drawn.key,
    string_agg(set_byte('\x00', 0, get_byte(drawn.key, place) # 54), '' order by place),
    string_agg(set_byte('\x00', 0, get_byte(drawn.key, place) # 92), '' order by place)
from drawn
cross join generate_series(0, 63) as place
group by drawn.key;

-- Writes a message that proves itself: v1, HMAC-SHA256 in hexadecimal, and the content, separated by blanks. What is
-- signed is the prefix, the transaction and the content, so that a copy in another transaction proves nothing.
create function send_message(prefix text, content bytea) returns pg_lsn
    language sql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select pg_logical_emit_message(
        true,
        prefix,
        convert_to(
            'v1 ' || encode(
                sha256(
                    its.outer_pad || sha256(
                        its.inner_pad
                        || convert_to(prefix || ' ' || pg_current_xact_id()::xid::text || ' ', 'UTF8')
                        || content
                    )
                ),
                'hex'
            ) || ' ',
            'UTF8'
        ) || content
    )
    from {schema}.message_key as its
$$;

comment on function send_message is 'Writes a signed message into the stream. For rowhook alone: whoever may call it can forge events.';

revoke all on function send_message(text, bytea) from public;

-- The last argument is what raw_hook_event of django-rest-hooks calls send_hook_meta.
create function emit(event text, payload jsonb, owner text, send_hook_meta boolean) returns pg_lsn
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
    return {schema}.send_message(
        'rowhook',
        convert_to(
            json_build_object(
                'event', emit.event,
                'owner', emit.owner,
                'payload', emit.payload,
                'send_hook_meta', emit.send_hook_meta
            )::text,
            'UTF8'
        )
    );
end
$$;

comment on function emit(text, jsonb, text, boolean) is 'Fires a custom event like emit with three arguments. send_hook_meta false: the formats rest-hooks and django send the payload alone.';

create or replace function emit(event text, payload jsonb default null, owner text default null) returns pg_lsn
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select {schema}.emit(event, payload, owner, true)
$$;

-- A table as hooks.toml calls it.
create function name_of(source regclass) returns text
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select case when n.nspname = 'public' then '' else n.nspname || '.' end || c.relname
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = source
$$;

comment on function name_of is 'The name that hooks.toml has for a table.';

-- The condition that finds the row with this key: each column is compared as its own type and as its index does, so
-- that the index serves. A domain counts as the type that it is made of, because its constraints are code of others.
create function key_condition(source regclass, key text) returns text
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    condition text;
    odd text;
begin
    with recursive key_column as (
        select
            a.attname,
            a.atttypid as type,
            a.atttypmod as modifier,
            k.place,
            i.indnkeyatts as columns,
            i.indclass[k.place - 1] as class
        from pg_index as i
        cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = source
            and i.indisprimary
            and k.place <= i.indnkeyatts
    ),
    based as (
        select * from key_column
        union all
        select
            b.attname,
            t.typbasetype,
            case when t.typtypmod = -1 then b.modifier else t.typtypmod end,
            b.place,
            b.columns,
            b.class
        from based as b
        join pg_type as t on t.oid = b.type and t.typtype = 'd'
    )
    select
        string_agg(
            format(
                '%I operator(%s) %s::%s',
                b.attname,
                coalesce(equals.name, 'pg_catalog.='),
                case when b.columns = 1 then quote_nullable(key) else format('(%L::jsonb ->> %L)', key, b.attname) end,
                format_type(b.type, b.modifier)
            ),
            ' and '
            order by b.place
        ),
        -- Reading such a value runs the constraints of the domains in it.
        min(b.attname) filter (where t.typtype in ('c', 'r', 'm') or e.typtype in ('c', 'd', 'r', 'm'))
    into condition, odd
    from based as b
    join pg_type as t on t.oid = b.type and t.typtype <> 'd'
    left join pg_type as e on e.oid = t.typelem and t.typelem <> 0 and t.typlen = -1
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
        where class.oid = b.class
    ) as equals on true;
    if condition is null then
        raise exception '% has no primary key to find a row by', {schema}.name_of(source)
            using errcode = 'undefined_object';
    end if;
    if odd is not null then
        raise exception 'rows of % cannot be found by their key, because the type of % may hold a domain', {schema}.name_of(source), odd
            using errcode = 'feature_not_supported',
                hint = 'Use a custom event and rowhook.emit, with to_jsonb of the row as its payload.';
    end if;
    return condition;
end
$$;

comment on function key_condition is 'The condition of WHERE that finds the row with this primary key.';

-- Signs and writes an action on a row that its caller has read. It runs as the owner of the schema, who reads the row
-- again: what is not in the table is not signed. Only a table is read, without its policies, since views and policies
-- are code that others wrote. The settings are those of emit_row.
create function send_action(source regclass, action text, key text, row_read text) returns pg_lsn
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
    if action in ('created', 'updated', 'deleted', 'truncated') or not {schema}.is_row_event(shown || '.' || action) then
        raise exception 'there is no action % of %', action, shown
            using errcode = 'check_violation',
                hint = format('An action of your own comes from [events] in hooks.toml, "name" = "%s.%s": after adding it there, run rowhook setup.', shown, action);
    end if;
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
                select json_build_object(
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
                    'row', found_row
                )::text
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
    shown text := {schema}.name_of(source);
    key_columns text[];
    found_row text;
begin
    -- send_action asks this again. Here it is asked so that a missing action is told before a missing row.
    if action in ('created', 'updated', 'deleted', 'truncated') or not {schema}.is_row_event(shown || '.' || action) then
        raise exception 'there is no action % of %', action, shown
            using errcode = 'check_violation',
                hint = format('An action of your own comes from [events] in hooks.toml, "name" = "%s.%s": after adding it there, run rowhook setup.', shown, action);
    end if;
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
                    'Its key is %s%s.',
                    array_to_string(key_columns, ', '),
                    case when cardinality(key_columns) > 1 then ', to be written as a JSON object' end
                );
    end if;
    return {schema}.send_action(source, action, key, found_row);
end
$$;
