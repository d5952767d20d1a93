--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: rowhook; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA rowhook;


--
-- Name: SCHEMA rowhook; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA rowhook IS 'rowhook''s own tables; made by rowhook setup';


--
-- Name: ask(text, jsonb); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.ask(event text, payload jsonb DEFAULT NULL::jsonb, OUT allowed boolean, OUT hook text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    known record;
    answer record;
begin
    select its.timeout_ms, its.refuses
    into known
    from "rowhook".before_event as its
    where its.name = ask.event and its.source = 'custom';
    if not found then
        raise exception 'there is no event % to ask about', ask.event
            using errcode = 'check_violation',
                hint = format(
                    'Those are %s. They come from [events] in hooks.toml, [events."name"] before = "custom": after adding one there, run rowhook setup.',
                    coalesce(
                        (
                            select string_agg(its.name, ', ' order by its.name)
                            from "rowhook".before_event as its
                            where its.source = 'custom'
                        ),
                        'none'
                    )
                );
    end if;
    answer := "rowhook".put_question(
        json_build_object('event', ask.event, 'payload', ask.payload),
        known.timeout_ms
    );
    allowed := coalesce(answer.allowed, not known.refuses);
    hook := answer.hook;
    reason := answer.reason;
end
$$;


--
-- Name: FUNCTION ask(event text, payload jsonb, OUT allowed boolean, OUT hook text, OUT reason text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.ask(event text, payload jsonb, OUT allowed boolean, OUT hook text, OUT reason text) IS 'Asks the hooks of an event of hooks.toml, and waits: whether they allow it, and if not, which hook refuses and why.';


--
-- Name: ask_row(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.ask_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET "TimeZone" TO 'UTC'
    SET bytea_output TO 'hex'
    SET xmloption TO 'content'
    AS $$
declare
    mine xid8 := pg_current_xact_id();
    -- Set by whoever wants to: then a row that is changed after it was asked about is asked about as it was.
    marker text := 'rowhook.asking_' || tg_relid;
    place tid;
begin
    if strpos(tg_argv[2], lower(left(tg_op, 1))) = 0
        and current_setting(marker, true) is distinct from mine::text
    then
        return null;
    end if;
    insert into "rowhook".asking (xid, relation, timeout_ms, refuses)
    values (mine, tg_relid, tg_argv[3]::integer, tg_argv[4]::boolean)
    on conflict do nothing
    returning ctid into place;
    perform set_config(marker, mine::text, true);
    perform "rowhook".write_question(
        json_build_object(
            'xid', mine::text,
            'relation', tg_relid::bigint,
            'schema', tg_argv[0],
            'table', tg_argv[1],
            'op', tg_op,
            'columns', case
                when place is not null then (
                    select array_agg(a.attname::text order by a.attnum)
                    from pg_attribute as a
                    where a.attrelid = tg_relid
                        and a.attnum > 0
                        and not a.attisdropped
                )
            end,
            'old', case when tg_op <> 'INSERT' then old::text end,
            'new', case when tg_op <> 'DELETE' then new::text end
        )::text,
        false
    );
    if place is not null then
        -- Has ask_transaction run. That may be at once, so the row is written before.
        update "rowhook".asking as its
        set refuses = its.refuses
        where its.ctid = place;
    end if;
    return null;
end
$$;


--
-- Name: FUNCTION ask_row(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.ask_row() IS 'Writes a changed row into the stream before its transaction commits. Only the triggers that setup makes may call it.';


--
-- Name: ask_transaction(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.ask_transaction() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    answer record;
    about text := "rowhook".name_of(new.relation);
begin
    -- What is changed later, with constraints that are set immediate, is asked about anew.
    delete from "rowhook".asking where ctid = new.ctid;
    answer := "rowhook".put_question(json_build_object('xid', new.xid::text), new.timeout_ms);
    if answer.allowed or answer.allowed is null and not new.refuses then
        return null;
    end if;
    if answer.allowed is null then
        raise exception 'the change of % was refused, because nobody has answered: %', about, answer.reason
            using errcode = 'RH002',
                detail = answer.reason,
                hint = 'hooks.toml has silence = "refuse" for it.';
    end if;
    if answer.silent then
        raise exception '%',
            coalesce(answer.event, 'the change of ' || about)
            || ' was refused, because ' || coalesce('hook ' || answer.hook, 'a hook') || ' has not answered'
            || coalesce(': ' || answer.reason, '')
            using errcode = 'RH002',
                detail = format(
                    'Hook: %s. Reason: %s',
                    coalesce(answer.hook, 'unknown'),
                    coalesce(answer.reason, 'unknown')
                ),
                hint = 'hooks.toml has silence = "refuse" for it.';
    end if;
    raise exception '%',
        coalesce(answer.event, 'the change of ' || about)
        || ' was refused' || coalesce(' by hook ' || answer.hook, '')
        || coalesce(': ' || answer.reason, '')
        using errcode = 'RH001',
            detail = format(
                'Hook: %s. Reason: %s',
                coalesce(answer.hook, 'unknown'),
                coalesce(answer.reason, 'none given')
            );
end
$$;


--
-- Name: FUNCTION ask_transaction(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.ask_transaction() IS 'Asks about all rows of a transaction, and ends it where that is refused.';


--
-- Name: await_answer(text, timestamp with time zone, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.await_answer(question text, until timestamp with time zone, locked_until timestamp with time zone, statement_until timestamp with time zone, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '250ms'
    AS $$
declare
    wait bigint := "rowhook".question_lock(question || ' wait');
    yes bigint := "rowhook".question_lock(question || ' allowed');
    no bigint := "rowhook".question_lock(question || ' refused');
    mute bigint := "rowhook".question_lock(question || ' silent');
    tag bigint := ("rowhook".question_lock(question || ' text') >> 38) & 67108863;
    here oid := (select d.oid from pg_database as d where d.datname = current_database());
    holder integer;
    said text;
    -- Looking is cheap for one session, and not for a hundred at once: so it is done less and less often until rowhook
    -- has taken the lock.
    pause double precision := 0.001;
    next_look timestamptz := clock_timestamp() + interval '100 milliseconds';
begin
    loop
        begin
            perform pg_advisory_xact_lock_shared(wait);
            -- The rollback gives the lock back.
            raise exception using errcode = 'RH000';
        exception
            when sqlstate 'RH000' or lock_not_available then null;
        end;
        select
            held.pid,
            (held.classid::bigint << 32) | held.objid::bigint = yes,
            (held.classid::bigint << 32) | held.objid::bigint = mute
        into holder, allowed, silent
        from pg_locks as held
        where held.locktype = 'advisory'
            and held.objsubid = 1
            and held.granted
            and held.mode = 'ExclusiveLock'
            and held.database = here
            and (held.classid::bigint << 32) | held.objid::bigint in (yes, no, mute);
        if allowed then
            return;
        end if;
        exit when not allowed;
        if clock_timestamp() >= until then
            reason := 'rowhook has not answered in time';
            return;
        end if;
        if clock_timestamp() >= next_look then
            if not "rowhook".is_heard() then
                reason := 'no rowhook is there to ask the endpoints';
                return;
            end if;
            next_look := clock_timestamp() + interval '100 milliseconds';
        end if;
        if clock_timestamp() >= locked_until then
            raise exception 'canceling statement due to lock timeout while waiting for the answer to a question'
                using errcode = 'lock_not_available';
        end if;
        if clock_timestamp() >= statement_until then
            raise exception 'canceling statement due to statement timeout while waiting for the answer to a question'
                using errcode = 'query_canceled';
        end if;
        perform pg_sleep(pause);
        pause := least(pause * 2, 0.25);
    end loop;
    begin
        -- Four bytes in each lock, in the order of their keys; the session is the one that has answered.
        select convert_from(
            rtrim(
                string_agg(
                    decode(lpad(to_hex(held.objid::bigint), 8, '0'), 'hex'),
                    ''::bytea
                    order by held.classid::bigint
                ),
                '\x00'::bytea
            ),
            'UTF8'
        )
        into said
        from pg_locks as held
        where held.locktype = 'advisory'
            and held.objsubid = 2
            and held.granted
            and held.database = here
            and held.pid = holder
            and held.classid::bigint >> 6 = tag;
    exception
        -- The encoding of the database may lack a character of it.
        when untranslatable_character or character_not_in_repertoire then null;
    end;
    event := nullif(split_part(said, E'\n', 1), '');
    hook := nullif(split_part(said, E'\n', 2), '');
    reason := nullif(split_part(said, E'\n', 3), '');
end
$$;


--
-- Name: FUNCTION await_answer(question text, until timestamp with time zone, locked_until timestamp with time zone, statement_until timestamp with time zone, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.await_answer(question text, until timestamp with time zone, locked_until timestamp with time zone, statement_until timestamp with time zone, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text) IS 'Waits for the answer to a question. allowed is null where there is none.';


--
-- Name: call_courier(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.call_courier() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    new.next_attempt := coalesce(new.next_attempt, clock_timestamp());
    perform pg_notify(
        tg_table_schema,
        json_build_object(
            'id', new.id,
            'hook', new.hook,
            'lane', new.lane,
            'other_lane', new.other_lane,
            'revived', old.state = 'dead'
        )::text
    );
    return new;
end
$$;


--
-- Name: FUNCTION call_courier(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.call_courier() IS 'Tells rowhook at once of a delivery that was made due by hand.';


--
-- Name: delete_hooks_first(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.delete_hooks_first() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    delete from "rowhook".hook;
    return null;
end
$$;


--
-- Name: FUNCTION delete_hooks_first(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.delete_hooks_first() IS 'Deletes all hooks before a TRUNCATE, so that the stream has their rows.';


--
-- Name: emit(text, jsonb, text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.emit(event text, payload jsonb DEFAULT NULL::jsonb, owner text DEFAULT NULL::text) RETURNS pg_lsn
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select "rowhook".emit(event, payload, owner, true)
$$;


--
-- Name: FUNCTION emit(event text, payload jsonb, owner text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.emit(event text, payload jsonb, owner text) IS 'Fires a custom event of hooks.toml with any payload, for the hooks of an owner, as part of this transaction.';


--
-- Name: emit(text, jsonb, text, boolean); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.emit(event text, payload jsonb, owner text, send_hook_meta boolean) RETURNS pg_lsn
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if not exists (
        select from "rowhook".event as known where known.name = emit.event and known.source = 'custom'
    ) then
        raise exception 'there is no custom event %', emit.event
            using errcode = 'check_violation',
                hint = format(
                    'The custom events are %s. They come from [events] in hooks.toml, "name" = "custom": after adding one there, run rowhook setup.',
                    coalesce(
                        (
                            select string_agg(name, ', ' order by name)
                            from "rowhook".event as known
                            where known.source = 'custom'
                        ),
                        'none'
                    )
                );
    end if;
    return "rowhook".send_message(
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


--
-- Name: FUNCTION emit(event text, payload jsonb, owner text, send_hook_meta boolean); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.emit(event text, payload jsonb, owner text, send_hook_meta boolean) IS 'Fires a custom event like emit with three arguments. send_hook_meta false: the formats rest-hooks and django send the payload alone.';


--
-- Name: emit_row(regclass, text, anyelement); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.emit_row(source regclass, action text, key anyelement) RETURNS pg_lsn
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select "rowhook".emit_row(source, action, key::text)
$$;


--
-- Name: FUNCTION emit_row(source regclass, action text, key anyelement); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.emit_row(source regclass, action text, key anyelement) IS 'Fires an action of hooks.toml on the row with this key, as part of this transaction.';


--
-- Name: emit_row(regclass, text, text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.emit_row(source regclass, action text, key text) RETURNS pg_lsn
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select "rowhook".emit_row(source, action, key, null::text)
$$;


--
-- Name: FUNCTION emit_row(source regclass, action text, key text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.emit_row(source regclass, action text, key text) IS 'Fires an action of hooks.toml on the row with this key, as part of this transaction.';


--
-- Name: emit_row(regclass, text, anyelement, text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.emit_row(source regclass, action text, key anyelement, owner text) RETURNS pg_lsn
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select "rowhook".emit_row(source, action, key::text, owner)
$$;


--
-- Name: FUNCTION emit_row(source regclass, action text, key anyelement, owner text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.emit_row(source regclass, action text, key anyelement, owner text) IS 'Fires an action of hooks.toml on the row with this key, for the hooks of this owner; null stands for the row''s own.';


--
-- Name: emit_row(regclass, text, text, text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.emit_row(source regclass, action text, key text, owner text) RETURNS pg_lsn
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET "TimeZone" TO 'UTC'
    SET bytea_output TO 'hex'
    SET xmloption TO 'content'
    AS $$
declare
    shown text := "rowhook".name_of(source);
    key_columns text[];
    found_row text;
begin
    -- send_action asks this again. Here it is asked so that a missing action is told before a missing row.
    perform "rowhook".require_action(source, action, current_user);
    execute format('select one::text from %s as one where %s', source, "rowhook".key_condition(source, key))
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
    return "rowhook".send_action(source, action, key, found_row, owner);
end
$$;


--
-- Name: FUNCTION emit_row(source regclass, action text, key text, owner text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.emit_row(source regclass, action text, key text, owner text) IS 'Fires an action of hooks.toml on the row with this key, for the hooks of this owner; null stands for the row''s own.';


--
-- Name: forgotten_name(text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.forgotten_name(owner text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'forgotten:' || left(
        encode(
            sha256(its.outer_pad || sha256(its.inner_pad || convert_to('forgotten ' || owner, 'UTF8'))),
            'hex'
        ),
        32
    )
    from "rowhook".message_key as its
$$;


--
-- Name: FUNCTION forgotten_name(owner text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.forgotten_name(owner text) IS 'What stands in the audit for an owner who was forgotten.';


--
-- Name: is_heard(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.is_heard() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    ready bigint := "rowhook".question_lock('ready');
begin
    -- What was read of sessions earlier in this transaction counts no more.
    perform pg_stat_clear_snapshot();
    return exists (
        select from pg_locks as held
        cross join lateral pg_stat_get_activity(held.pid) as session
        where held.locktype = 'advisory'
            and held.objsubid = 1
            and held.granted
            and held.mode = 'ExclusiveLock'
            and held.database = (select d.oid from pg_database as d where d.datname = current_database())
            and (held.classid::bigint << 32) | held.objid::bigint = ready
            and has_table_privilege(session.usesysid, '"rowhook".message_key', 'select')
    );
end
$$;


--
-- Name: FUNCTION is_heard(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.is_heard() IS 'Whether a rowhook answers questions now.';


--
-- Name: is_row_event(text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.is_row_event(source text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select exists (select from "rowhook".event as known where known.source = is_row_event.source)
$$;


--
-- Name: FUNCTION is_row_event(source text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.is_row_event(source text) IS 'Has hooks.toml an event with this table and action?';


--
-- Name: keep_audit(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.keep_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    retention_id bigint;
    retention interval;
begin
    if tg_op = 'DELETE' then
        select held.id, make_interval(secs => (held.after ->> 'seconds')::double precision)
        into retention_id, retention
        from "rowhook".audit as held
        where held.what = 'audit.retention'
        order by held.id desc
        limit 1;
        if old.id <> retention_id and old.at < clock_timestamp() - retention then
            return old;
        end if;
    elsif tg_op = 'UPDATE' then
        if (new.id, new.at, new.actor, new.via, new.what, new.hook, new.delivery, new.event, new.commit_lsn, new.place)
                is not distinct from
                (old.id, old.at, old.actor, old.via, old.what, old.hook, old.delivery, old.event, old.commit_lsn, old.place)
            and old.what <> 'audit.retention'
            and new.before is null
            and new.after is null
            and (new.owner is not distinct from old.owner or new.owner = "rowhook".forgotten_name(old.owner))
            and (
                new.actor_owner is not distinct from old.actor_owner
                or new.actor_owner = "rowhook".forgotten_name(old.actor_owner)
            )
            and (new.token is null or new.token is not distinct from old.token)
            and (new.address is null or new.address is not distinct from old.address)
            and exists (
                select
                from "rowhook".forgotten as f
                where f.owner in (
                    hashtextextended(old.owner, 0),
                    hashtextextended(old.actor_owner, 0),
                    hashtextextended(old.before ->> 'owner', 0),
                    hashtextextended(old.after ->> 'owner', 0)
                )
            )
        then
            return new;
        end if;
    end if;
    raise exception 'what is on record in audit stays as it is'
        using errcode = 'insufficient_privilege',
            hint = 'Rows go when they are older than [audit] retention in hooks.toml; rowhook forget --owner takes an owner out.';
end
$$;


--
-- Name: FUNCTION keep_audit(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.keep_audit() IS 'Refuses to change or delete what is on record.';


--
-- Name: key_condition(regclass, text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.key_condition(source regclass, key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
        raise exception '% has no primary key to find a row by', "rowhook".name_of(source)
            using errcode = 'undefined_object';
    end if;
    if odd is not null then
        raise exception 'rows of % cannot be found by their key, because the type of % may hold a domain', "rowhook".name_of(source), odd
            using errcode = 'feature_not_supported',
                hint = 'Use a custom event and rowhook.emit, with to_jsonb of the row as its payload.';
    end if;
    return condition;
end
$$;


--
-- Name: FUNCTION key_condition(source regclass, key text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.key_condition(source regclass, key text) IS 'The condition of WHERE that finds the row with this primary key.';


--
-- Name: name_of(regclass); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.name_of(source regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select case when n.nspname = 'public' then '' else n.nspname || '.' end || c.relname
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = source
$$;


--
-- Name: FUNCTION name_of(source regclass); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.name_of(source regclass) IS 'The name that hooks.toml has for a table.';


--
-- Name: put_question(json, integer); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.put_question(question json, timeout_ms integer, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    id text := gen_random_uuid()::text;
    now timestamptz := clock_timestamp();
    lock_wait interval := nullif(current_setting('lock_timeout'), '0')::interval;
    statement_wait interval := nullif(current_setting('statement_timeout'), '0')::interval;
    answer record;
begin
    if not "rowhook".is_heard() then
        reason := 'no rowhook is there to ask the endpoints';
        return;
    end if;
    perform "rowhook".write_question(
        json_build_object('ask', id, 'asked', extract(epoch from now), 'question', question)::text,
        true
    );
    -- An endpoint has its time from when rowhook has read the question.
    answer := "rowhook".await_answer(
        id,
        now + timeout_ms * interval '1 millisecond' + interval '500 milliseconds',
        now + lock_wait,
        statement_timestamp() + statement_wait
    );
    allowed := answer.allowed;
    silent := answer.silent;
    event := answer.event;
    hook := answer.hook;
    reason := answer.reason;
end
$$;


--
-- Name: FUNCTION put_question(question json, timeout_ms integer, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.put_question(question json, timeout_ms integer, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text) IS 'Asks a question and waits for the answer. allowed is null where there is none.';


--
-- Name: question_lock(text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.question_lock(what text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select (
        'x' || left(
            encode(
                sha256(its.outer_pad || sha256(its.inner_pad || convert_to('rowhook.lock ' || what, 'UTF8'))),
                'hex'
            ),
            16
        )
    )::bit(64)::bigint
    from "rowhook".message_key as its
$$;


--
-- Name: FUNCTION question_lock(what text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.question_lock(what text) IS 'The key of an advisory lock that says something of a question. For rowhook alone: whoever may call it can answer.';


--
-- Name: refuse_unknown_event(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.refuse_unknown_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    named text;
begin
    foreach named in array array_append(new.events, new.event) loop
        continue when named is null
            or named = '*'
            or exists (select from "rowhook".event where name = named)
            or named like '%.*'
                and exists (select from "rowhook".event where starts_with(name, left(named, -1)));
        raise exception 'there is no event %', named
            using errcode = 'check_violation',
                column = 'event',
                hint = format(
                    'The events are %s. They come from [events] in hooks.toml: after adding one there, run rowhook setup.',
                    (select string_agg(name, ', ' order by name) from "rowhook".event)
                );
    end loop;
    return new;
end
$$;


--
-- Name: FUNCTION refuse_unknown_event(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.refuse_unknown_event() IS 'Refuses a hook on an event that hooks.toml does not have.';


--
-- Name: require_action(regclass, text, name); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.require_action(source regclass, action text, who name) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    shown text := "rowhook".name_of(source);
    needed text := case action when 'created' then 'insert' when 'updated' then 'update' when 'deleted' then 'delete' end;
begin
    if action = 'truncated' or not "rowhook".is_row_event(shown || '.' || action) then
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


--
-- Name: FUNCTION require_action(source regclass, action text, who name); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.require_action(source regclass, action text, who name) IS 'Refuses an action that hooks.toml does not have, or that the role could not have done itself.';


--
-- Name: rung(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.rung() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- A new sequence has the value that it will first return.
    select bell.last_value + bell.is_called::integer from "rowhook".question_bell as bell
$$;


--
-- Name: FUNCTION rung(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.rung() IS 'The number of the last question, before Postgres 17. rowhook looks at it.';


--
-- Name: send_action(regclass, text, text, text, text); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.send_action(source regclass, action text, key text, row_read text, owner text) RETURNS pg_lsn
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET extra_float_digits TO '1'
    SET "TimeZone" TO 'UTC'
    SET bytea_output TO 'hex'
    SET xmloption TO 'content'
    AS $$
declare
    shown text := "rowhook".name_of(source);
    found_row text;
begin
    perform "rowhook".require_action(source, action, "rowhook".session_role());
    if not exists (select from pg_class as c where c.oid = source and c.relkind in ('r', 'p')) then
        raise exception '% is not a table', shown
            using errcode = 'wrong_object_type';
    end if;
    begin
        execute format('select one::text from %s as one where %s', source, "rowhook".key_condition(source, key))
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
    return "rowhook".send_message(
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


--
-- Name: FUNCTION send_action(source regclass, action text, key text, row_read text, owner text); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.send_action(source regclass, action text, key text, row_read text, owner text) IS 'Signs an action on a row that emit_row has read, and writes it into the stream.';


--
-- Name: send_message(text, bytea); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.send_message(prefix text, content bytea) RETURNS pg_lsn
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
    from "rowhook".message_key as its
$$;


--
-- Name: FUNCTION send_message(prefix text, content bytea); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.send_message(prefix text, content bytea) IS 'Writes a signed message into the stream. For rowhook alone: whoever may call it can forge events.';


--
-- Name: session_role(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.session_role() RETURNS name
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select coalesce(nullif(current_setting('role'), 'none'), session_user)::name
$$;


--
-- Name: FUNCTION session_role(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.session_role() IS 'The role that this session acts as.';


--
-- Name: touch_hook(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.touch_hook() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: FUNCTION touch_hook(); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.touch_hook() IS 'Keeps updated_at, and clears what no longer holds.';


--
-- Name: touch_hook_content(); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.touch_hook_content() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if new.invalid is not distinct from old.invalid then
        new.invalid := null;
    end if;
    return new;
end
$$;


--
-- Name: write_question(text, boolean); Type: FUNCTION; Schema: rowhook; Owner: -
--

CREATE FUNCTION rowhook.write_question(content text, flush boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    message bytea := convert_to(content, 'UTF8');
begin
    select convert_to(
        'v1 ' || encode(
            sha256(its.outer_pad || sha256(its.inner_pad || convert_to('rowhook.before 0 ', 'UTF8') || message)),
            'hex'
        ) || ' ',
        'UTF8'
    ) || message
    into message
    from "rowhook".message_key as its;
    if flush and current_setting('server_version_num')::integer >= 170000 then
        perform pg_logical_emit_message(false, 'rowhook.before', message, true);
        return;
    end if;
    perform pg_logical_emit_message(false, 'rowhook.before', message);
    if flush then
        perform nextval('"rowhook".question_bell');
    end if;
end
$$;


--
-- Name: FUNCTION write_question(content text, flush boolean); Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON FUNCTION rowhook.write_question(content text, flush boolean) IS 'Writes a signed part of a question into the stream. For rowhook alone: whoever may call it can forge questions.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: asking; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE UNLOGGED TABLE rowhook.asking (
    xid xid8 NOT NULL,
    relation oid NOT NULL,
    timeout_ms integer NOT NULL,
    refuses boolean NOT NULL
);


--
-- Name: TABLE asking; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.asking IS 'The tables whose changed rows a running transaction has to ask about. Always empty for others.';


--
-- Name: attempt; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.attempt (
    id bigint NOT NULL,
    delivery text NOT NULL,
    hook text NOT NULL,
    event text NOT NULL,
    number integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    took_ms double precision NOT NULL,
    delivered boolean NOT NULL,
    status integer,
    error text,
    url text NOT NULL,
    request_headers jsonb NOT NULL,
    request_body bytea,
    response_headers jsonb,
    response_body bytea,
    commit_lsn pg_lsn,
    event_index bigint,
    commit_time timestamp with time zone,
    lane bigint,
    other_lane bigint,
    owner text,
    everyones boolean DEFAULT false NOT NULL,
    method text,
    about bigint[],
    CONSTRAINT a_position_is_whole CHECK ((num_nulls(commit_lsn, event_index, commit_time, lane) = ANY (ARRAY[0, 4]))),
    CONSTRAINT a_status_or_an_error CHECK (((status IS NULL) <> (error IS NULL))),
    CONSTRAINT attempts_count_from_one CHECK ((number > 0)),
    CONSTRAINT little_of_a_response_is_kept CHECK ((octet_length(response_body) <= 4096)),
    CONSTRAINT request_headers_are_an_object CHECK ((jsonb_typeof(request_headers) = 'object'::text)),
    CONSTRAINT response_headers_are_an_object CHECK ((jsonb_typeof(response_headers) = 'object'::text)),
    CONSTRAINT time_does_not_run_backwards CHECK ((took_ms >= (0)::double precision)),
    CONSTRAINT what_is_delivered_has_a_status CHECK (((NOT delivered) OR (status IS NOT NULL))),
    CONSTRAINT what_is_everyones_has_no_owner CHECK (((owner IS NULL) OR (NOT everyones)))
);


--
-- Name: TABLE attempt; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.attempt IS 'What came of requests: recent failures, and the last successes of each hook, as [history] says.';


--
-- Name: COLUMN attempt.delivery; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.delivery IS 'Its id in delivery, where one that has arrived has no row.';


--
-- Name: COLUMN attempt.hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.hook IS 'The id of the hook''s row, or its name in hooks.toml.';


--
-- Name: COLUMN attempt.number; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.number IS 'Which attempt of the delivery it was, from 1.';


--
-- Name: COLUMN attempt.started_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.started_at IS 'When the request was begun.';


--
-- Name: COLUMN attempt.took_ms; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.took_ms IS 'From there to the last byte of the answer that was read, or to giving up.';


--
-- Name: COLUMN attempt.delivered; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.delivered IS 'The endpoint has accepted it.';


--
-- Name: COLUMN attempt.status; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.status IS 'The HTTP status; null: there was no answer.';


--
-- Name: COLUMN attempt.error; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.error IS 'Why there was no answer.';


--
-- Name: COLUMN attempt.url; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.url IS 'The URL, without credentials.';


--
-- Name: COLUMN attempt.request_headers; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.request_headers IS 'All but the signature; values that a hook adds may be secret and show as an ellipsis, as do the ids of a batch. Its webhook-id is common to all of its deliveries.';


--
-- Name: COLUMN attempt.request_body; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.request_body IS 'The exact bytes, of a batch those of this delivery; null where they are many, or [history] keeps no bodies.';


--
-- Name: COLUMN attempt.response_headers; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.response_headers IS 'Those within the first 4 KiB; cookies show as an ellipsis.';


--
-- Name: COLUMN attempt.response_body; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.response_body IS 'Its first 4 KiB; null where [history] keeps no bodies.';


--
-- Name: COLUMN attempt.commit_lsn; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.commit_lsn IS 'As in delivery, with event_index, commit_time, lane and other_lane: for replays.';


--
-- Name: COLUMN attempt.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.owner IS 'Whose the delivery is, as in delivery.';


--
-- Name: COLUMN attempt.everyones; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.everyones IS 'Its hook heard the events of everyone.';


--
-- Name: COLUMN attempt.method; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.method IS 'The method of the request; null: noted by nobody.';


--
-- Name: COLUMN attempt.about; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.attempt.about IS 'As in delivery.';


--
-- Name: attempt_id_seq; Type: SEQUENCE; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.attempt ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rowhook.attempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: audit; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    actor_owner text,
    token text,
    address text,
    via text,
    what text NOT NULL,
    hook text,
    delivery text,
    event text,
    owner text,
    before jsonb,
    after jsonb,
    commit_lsn pg_lsn,
    place integer,
    CONSTRAINT a_place_is_whole CHECK ((num_nulls(commit_lsn, place) = ANY (ARRAY[0, 2]))),
    CONSTRAINT actor_is_known CHECK ((actor = ANY (ARRAY['operator'::text, 'owner'::text, 'application'::text, 'console'::text, 'command line'::text, 'signal'::text, 'sql'::text, 'rowhook'::text, 'stranger'::text]))),
    CONSTRAINT after_is_an_object CHECK ((jsonb_typeof(after) = 'object'::text)),
    CONSTRAINT before_is_an_object CHECK ((jsonb_typeof(before) = 'object'::text)),
    CONSTRAINT via_is_known CHECK ((via = ANY (ARRAY['api'::text, 'page'::text])))
);


--
-- Name: TABLE audit; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.audit IS 'What was done to hooks, deliveries, tokens and settings, and by whom. Rows stay as they are until the retention is over.';


--
-- Name: COLUMN audit.actor; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.actor IS 'Who did it; application: a JWT of the application; sql: whoever wrote to the hook table.';


--
-- Name: COLUMN audit.actor_owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.actor_owner IS 'The owner who did it, or whose token did.';


--
-- Name: COLUMN audit.token; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.token IS 'The number of the token that was used, and its name.';


--
-- Name: COLUMN audit.address; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.address IS 'Where the request came from.';


--
-- Name: COLUMN audit.via; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.via IS 'How the request came.';


--
-- Name: COLUMN audit.what; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.what IS 'What was done, such as hook.changed.';


--
-- Name: COLUMN audit.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.owner IS 'The owner whose hook, delivery or token it was done to.';


--
-- Name: COLUMN audit.before; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.before IS 'What was different before, without secrets.';


--
-- Name: COLUMN audit.after; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.after IS 'What it became, without secrets.';


--
-- Name: COLUMN audit.commit_lsn; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.audit.commit_lsn IS 'Where the stream has it, with place: a change in SQL is written once, however often the stream is read.';


--
-- Name: audit_id_seq; Type: SEQUENCE; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rowhook.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: backfill; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.backfill (
    id bigint NOT NULL,
    event text NOT NULL,
    hook text NOT NULL,
    condition text,
    since timestamp with time zone,
    rate integer NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    "position" jsonb,
    passed_over jsonb DEFAULT '[]'::jsonb NOT NULL,
    at_end boolean DEFAULT false NOT NULL,
    sent bigint DEFAULT 0 NOT NULL,
    estimate bigint,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT passed_over_is_a_list CHECK ((jsonb_typeof(passed_over) = 'array'::text)),
    CONSTRAINT rate_is_not_zero CHECK ((rate > 0)),
    CONSTRAINT state_is_known CHECK ((state = ANY (ARRAY['running'::text, 'done'::text, 'cancelled'::text, 'failed'::text]))),
    CONSTRAINT what_failed_says_why CHECK (((state <> 'failed'::text) OR (error IS NOT NULL)))
);


--
-- Name: TABLE backfill; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.backfill IS 'Tables that are sent to hooks row by row, and how far that is.';


--
-- Name: COLUMN backfill.condition; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill.condition IS 'SQL of the operator; only rows for which it is true are sent.';


--
-- Name: COLUMN backfill.since; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill.since IS 'Only rows that were committed since then.';


--
-- Name: COLUMN backfill.rate; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill.rate IS 'Rows a second, at most.';


--
-- Name: COLUMN backfill."position"; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill."position" IS 'The key of the last row that was looked at.';


--
-- Name: COLUMN backfill.passed_over; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill.passed_over IS 'Keys of rows that somebody was changing just then; they are looked at again.';


--
-- Name: COLUMN backfill.at_end; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill.at_end IS 'Every row has been looked at; what was passed over is left.';


--
-- Name: COLUMN backfill.estimate; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.backfill.estimate IS 'How many rows the table had, by its statistics, when it began.';


--
-- Name: backfill_id_seq; Type: SEQUENCE; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.backfill ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rowhook.backfill_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: before_event; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.before_event (
    name text NOT NULL,
    source text NOT NULL,
    timeout_ms integer NOT NULL,
    refuses boolean NOT NULL,
    CONSTRAINT before_event_timeout_ms_check CHECK ((timeout_ms > 0))
);


--
-- Name: TABLE before_event; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.before_event IS 'The events of hooks.toml that endpoints are asked about before the transaction commits.';


--
-- Name: delivery; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.delivery (
    id text NOT NULL,
    hook text NOT NULL,
    event text NOT NULL,
    state text NOT NULL,
    reason text,
    attempts integer NOT NULL,
    next_attempt timestamp with time zone,
    claimed boolean DEFAULT false NOT NULL,
    lane bigint NOT NULL,
    other_lane bigint,
    commit_lsn pg_lsn NOT NULL,
    event_index bigint NOT NULL,
    commit_time timestamp with time zone NOT NULL,
    body bytea NOT NULL,
    content_type text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    question jsonb,
    owner text,
    everyones boolean DEFAULT false NOT NULL,
    waited_ms bigint,
    about bigint[],
    outline json,
    CONSTRAINT attempts_are_counted CHECK ((attempts >= 0)),
    CONSTRAINT id_can_be_a_header CHECK ((id ~ '^[!-~]+$'::text)),
    CONSTRAINT question_is_an_object CHECK ((jsonb_typeof(question) = 'object'::text)),
    CONSTRAINT state_is_known CHECK ((state = ANY (ARRAY['parked'::text, 'dead'::text]))),
    CONSTRAINT the_dead_are_not_tried CHECK (((state <> 'dead'::text) OR (next_attempt IS NULL))),
    CONSTRAINT the_dead_have_a_reason CHECK (((state <> 'dead'::text) OR (reason IS NOT NULL))),
    CONSTRAINT time_is_not_given_back CHECK ((waited_ms >= 0)),
    CONSTRAINT what_is_everyones_has_no_owner CHECK (((owner IS NULL) OR (NOT everyones)))
);


--
-- Name: TABLE delivery; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.delivery IS 'Deliveries that wait for another attempt, or have been given up.';


--
-- Name: COLUMN delivery.id; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.id IS 'The webhook-id, or with batch one of the ids in rowhook-batch: the same in every attempt and after every restart.';


--
-- Name: COLUMN delivery.hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.hook IS 'The id of the hook''s row, or its name in hooks.toml.';


--
-- Name: COLUMN delivery.state; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.state IS 'parked: waits for its next attempt; dead: given up.';


--
-- Name: COLUMN delivery.reason; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.reason IS 'How the last attempt ended, or why it was given up.';


--
-- Name: COLUMN delivery.next_attempt; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.next_attempt IS 'When it may be tried again; null: it waits behind another of its lane.';


--
-- Name: COLUMN delivery.claimed; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.claimed IS 'Somebody is at it; next_attempt is when it is due again if they die over it.';


--
-- Name: COLUMN delivery.lane; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.lane IS 'What it waits in: by default its row, as a hash.';


--
-- Name: COLUMN delivery.other_lane; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.other_lane IS 'That of the row''s old key, where an update has changed the key.';


--
-- Name: COLUMN delivery.commit_lsn; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.commit_lsn IS 'With event_index, the position of the event among all events of the database.';


--
-- Name: COLUMN delivery.body; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.body IS 'The exact bytes, or with batch those of its member of the array; signatures are made anew for each attempt.';


--
-- Name: COLUMN delivery.question; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.question IS 'Whether the hook''s owner may see the row, as visible in hooks.toml asks it; null: nothing is asked.';


--
-- Name: COLUMN delivery.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.owner IS 'Whose it is: the owner of its hook when the event happened. Null: everyone''s, or noted by nobody.';


--
-- Name: COLUMN delivery.everyones; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.everyones IS 'Its hook heard the events of everyone.';


--
-- Name: COLUMN delivery.waited_ms; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.waited_ms IS 'How much of its schedule''s time is over; null: as much as its attempts say.';


--
-- Name: COLUMN delivery.about; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.about IS 'Hashes of its row, of its old key, and of the owner of the row; empty: it holds no row any more. Null: noted by nobody.';


--
-- Name: COLUMN delivery.outline; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.delivery.outline IS 'What its body is made anew from when the row is forgotten: the key of the row, and what is left out. Null: nothing of that is noted.';


--
-- Name: event; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.event (
    name text NOT NULL,
    source text NOT NULL,
    all_owners boolean NOT NULL
);


--
-- Name: TABLE event; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.event IS 'The events that a hook may name; setup copies them from hooks.toml.';


--
-- Name: COLUMN event.source; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.event.source IS 'The right side in [events]: table.action or custom; rowhook for the events it fires itself.';


--
-- Name: COLUMN event.all_owners; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.event.all_owners IS 'Written with a +: hooks of every owner hear it.';


--
-- Name: failing; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.failing (
    hook text NOT NULL,
    since timestamp with time zone NOT NULL
);


--
-- Name: TABLE failing; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.failing IS 'Hooks whose last attempts have all failed.';


--
-- Name: COLUMN failing.hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.failing.hook IS 'The id of the hook''s row, or its name in hooks.toml.';


--
-- Name: COLUMN failing.since; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.failing.since IS 'When the first of those attempts was.';


--
-- Name: followed; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.followed (
    slot text NOT NULL,
    oid oid NOT NULL,
    schema text NOT NULL,
    name text NOT NULL,
    keys jsonb NOT NULL,
    is_former boolean NOT NULL,
    later_schema text,
    later_name text,
    taken_by bigint,
    until pg_lsn,
    relation oid NOT NULL,
    division jsonb,
    CONSTRAINT a_later_name_is_whole CHECK ((num_nulls(later_schema, later_name) = ANY (ARRAY[0, 2]))),
    CONSTRAINT only_a_former_table_has_an_end CHECK ((is_former = (until IS NOT NULL)))
);


--
-- Name: TABLE followed; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.followed IS 'Which tables the names of hooks.toml stand for.';


--
-- Name: COLUMN followed.schema; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.schema IS 'The schema that hooks.toml names.';


--
-- Name: COLUMN followed.name; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.name IS 'The name of the table in hooks.toml, whatever it is called in the database.';


--
-- Name: COLUMN followed.keys; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.keys IS 'The names that the columns of its primary key have had, the newest last.';


--
-- Name: COLUMN followed.is_former; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.is_former IS 'Another table has the name since.';


--
-- Name: COLUMN followed.later_name; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.later_name IS 'What a former table was called when another one was found under its name.';


--
-- Name: COLUMN followed.taken_by; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.taken_by IS 'The transaction that gave the other table the name.';


--
-- Name: COLUMN followed.until; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.until IS 'Once this position is confirmed, the stream has nothing more to tell of a former table.';


--
-- Name: COLUMN followed.relation; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.relation IS 'The oid of this table. In a copy of the database, the oids mean nothing.';


--
-- Name: COLUMN followed.division; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.followed.division IS 'How the table is divided into partitions, if it is: what decides the partition of a row.';


--
-- Name: forgotten; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.forgotten (
    owner bigint NOT NULL,
    at timestamp with time zone NOT NULL
);


--
-- Name: TABLE forgotten; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.forgotten IS 'Owners who were forgotten, as hashes, for a month.';


--
-- Name: COLUMN forgotten.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.forgotten.owner IS 'hashtextextended of the owner.';


--
-- Name: COLUMN forgotten.at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.forgotten.at IS 'What was committed until then is not written any more.';


--
-- Name: forgotten_mark; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.forgotten_mark (
    mark bigint NOT NULL,
    at timestamp with time zone NOT NULL
);


--
-- Name: TABLE forgotten_mark; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.forgotten_mark IS 'Rows and owners of rows that were forgotten, as hashes, for a month.';


--
-- Name: COLUMN forgotten_mark.mark; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.forgotten_mark.mark IS 'The hash of a table and the key of a row, or of an owner.';


--
-- Name: COLUMN forgotten_mark.at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.forgotten_mark.at IS 'Of what was committed until then, only the key of the row is written.';


--
-- Name: holder; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.holder (
    slot text NOT NULL,
    name text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: TABLE holder; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.holder IS 'Which rowhook reads a slot, so that another that has lost it does no harm.';


--
-- Name: COLUMN holder.name; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.holder.name IS 'A name that no other process has had.';


--
-- Name: COLUMN holder.since; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.holder.since IS 'When it took the slot over.';


--
-- Name: hook; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.hook (
    id bigint NOT NULL,
    owner text,
    event text,
    target text NOT NULL,
    secret text,
    active boolean DEFAULT true NOT NULL,
    filter text,
    headers jsonb,
    payload text,
    invalid text,
    disabled_at timestamp with time zone,
    disabled_reason text,
    description text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    signature jsonb,
    previous_secret text,
    previous_secret_expires_at timestamp with time zone,
    content text,
    content_type text,
    user_agent text,
    template text,
    rate text,
    certificate text,
    compress text,
    events text[],
    method text,
    auth jsonb,
    timeout text,
    retries jsonb,
    "order" text,
    concurrency integer,
    batch jsonb,
    max_body text,
    disable_after text,
    CONSTRAINT a_previous_secret_has_a_newer_one CHECK (((previous_secret IS NULL) OR (secret IS NOT NULL))),
    CONSTRAINT a_reason_has_its_time CHECK (((disabled_reason IS NULL) OR (disabled_at IS NOT NULL))),
    CONSTRAINT compress_is_gzip_or_none CHECK ((compress = ANY (ARRAY['gzip'::text, 'none'::text]))),
    CONSTRAINT content_is_json_or_form CHECK ((content = ANY (ARRAY['json'::text, 'form'::text]))),
    CONSTRAINT event_is_a_name_or_pattern CHECK ((event ~ '^(\*|[^[:space:]*]+(\.\*)?)$'::text)),
    CONSTRAINT headers_are_an_object CHECK ((jsonb_typeof(headers) = 'object'::text)),
    CONSTRAINT only_a_previous_secret_expires CHECK (((previous_secret_expires_at IS NULL) OR (previous_secret IS NOT NULL))),
    CONSTRAINT previous_secret_is_well_formed CHECK (((previous_secret <> ''::text) AND ((previous_secret !~ '^whsec_'::text) OR (previous_secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$'::text)) AND ((previous_secret !~ '^whsk_'::text) OR (previous_secret ~ '^whsk_([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$'::text)))),
    CONSTRAINT rate_is_a_number_and_its_time CHECK ((rate ~ '^[1-9][0-9]{0,6}/[sm]$'::text)),
    CONSTRAINT secret_is_well_formed CHECK (((secret <> ''::text) AND ((secret !~ '^whsec_'::text) OR (secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$'::text)) AND ((secret !~ '^whsk_'::text) OR (secret ~ '^whsk_([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$'::text)))),
    CONSTRAINT signature_is_standard_or_an_object CHECK (((signature = '"standard"'::jsonb) OR (jsonb_typeof(signature) = 'object'::text))),
    CONSTRAINT target_is_an_http_url CHECK ((target ~* '^https?://[^[:space:]/?#]+[^[:space:]]*$'::text)),
    CONSTRAINT what_is_disabled_is_not_active CHECK (((disabled_at IS NULL) OR (NOT active)))
);

ALTER TABLE ONLY rowhook.hook REPLICA IDENTITY FULL;


--
-- Name: TABLE hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.hook IS 'A hook: where the events of an owner go.';


--
-- Name: COLUMN hook.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.owner IS 'Whose events it hears; null: everyone''s.';


--
-- Name: COLUMN hook.event; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.event IS 'An event of hooks.toml, or a pattern: book.* or *. It may be null where events names some.';


--
-- Name: COLUMN hook.target; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.target IS 'The URL that events are POSTed to. With [secrets] rowhook seals the credentials in it.';


--
-- Name: COLUMN hook.secret; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.secret IS 'Key of the signatures: whsec_ and base64 of 24 to 64 bytes, whsk_ and base64 of an ed25519 key, or any text for a signature in another header; null: unsigned. With [secrets] rowhook seals it.';


--
-- Name: COLUMN hook.active; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.active IS 'A hook that is not active hears nothing.';


--
-- Name: COLUMN hook.filter; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.filter IS 'A CEL expression; only events for which it is true are delivered.';


--
-- Name: COLUMN hook.headers; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.headers IS 'Headers to add to each request: {"name": "value"}. With [secrets] rowhook seals the values.';


--
-- Name: COLUMN hook.payload; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.payload IS 'The shape of the body, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.invalid; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.invalid IS 'Why rowhook cannot use this hook; written by rowhook, cleared when the hook changes.';


--
-- Name: COLUMN hook.disabled_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.disabled_at IS 'When rowhook disabled it; cleared when it is made active again.';


--
-- Name: COLUMN hook.disabled_reason; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.disabled_reason IS 'Why rowhook disabled it.';


--
-- Name: COLUMN hook.description; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.description IS 'A note of whoever made it.';


--
-- Name: COLUMN hook.signature; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.signature IS '"standard", or {"header", "algorithm", "encoding", "prefix"}, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.previous_secret; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.previous_secret IS 'The secret before it, which signs too while receivers learn the new one. With [secrets] rowhook seals it.';


--
-- Name: COLUMN hook.previous_secret_expires_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.previous_secret_expires_at IS 'When the previous secret signs no more; null: when it is removed.';


--
-- Name: COLUMN hook.content; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.content IS 'json or form, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.content_type; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.content_type IS 'The content type of its requests, where it differs from that of hooks.toml.';


--
-- Name: COLUMN hook.user_agent; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.user_agent IS 'The user agent of its requests. Hooks with an owner may have one where [limits] allows it.';


--
-- Name: COLUMN hook.template; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.template IS 'A template that makes what is sent in place of the row. Hooks with an owner may have one where [limits] allows it.';


--
-- Name: COLUMN hook.rate; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.rate IS 'The most requests in a second or a minute, such as 100/s or 20/m, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.certificate; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.certificate IS 'The name of a client certificate, one of [[certificates]] in hooks.toml.';


--
-- Name: COLUMN hook.compress; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.compress IS 'gzip or none, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.events; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.events IS 'More events and patterns, beside event or in its place.';


--
-- Name: COLUMN hook.method; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.method IS 'POST, PUT or PATCH; null: POST.';


--
-- Name: COLUMN hook.auth; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.auth IS 'Credentials: {"bearer": "..."}, {"user": "...", "password": "..."} or {"oauth2": {"token_url", "client_id", "client_secret", "scope"}}. With [secrets] rowhook seals them.';


--
-- Name: COLUMN hook.timeout; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.timeout IS 'The time-out of a request, such as 15s, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.retries; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.retries IS 'The pauses between attempts, where they differ from hooks.toml: ["5s", "5m"], {"max_tries": 10}, or false for one attempt.';


--
-- Name: COLUMN hook."order"; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook."order" IS 'row, hook or none, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.concurrency; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.concurrency IS 'The most requests in flight, where that differs from hooks.toml.';


--
-- Name: COLUMN hook.batch; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.batch IS 'How deliveries are gathered, where that differs from hooks.toml: {"max": 100, "wait": "1s"}, or false.';


--
-- Name: COLUMN hook.max_body; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.max_body IS 'The largest body, such as 20MiB, where it differs from hooks.toml.';


--
-- Name: COLUMN hook.disable_after; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.hook.disable_after IS 'When it is disabled for failing, where that differs from hooks.toml: a time such as 5d, or a number of failures.';


--
-- Name: hook_id_seq; Type: SEQUENCE; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.hook ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rowhook.hook_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: idempotency; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.idempotency (
    caller text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status integer,
    body bytea,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT an_answer_is_whole CHECK (((status IS NULL) = (body IS NULL))),
    CONSTRAINT status_is_one_of_http CHECK (((status >= 100) AND (status <= 599)))
);


--
-- Name: TABLE idempotency; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.idempotency IS 'Answers to requests that named an Idempotency-Key, for a day.';


--
-- Name: COLUMN idempotency.caller; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.idempotency.caller IS 'Who asked: keys of one caller mean nothing to another.';


--
-- Name: COLUMN idempotency.fingerprint; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.idempotency.fingerprint IS 'Hash of method, address and body: the same key with another request is a mistake.';


--
-- Name: COLUMN idempotency.body; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.idempotency.body IS 'The answer, without what is shown once.';


--
-- Name: identity; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.identity (
    relation regclass NOT NULL,
    previous "char" NOT NULL,
    index_name text,
    CONSTRAINT only_an_index_has_a_name CHECK (((previous = 'i'::"char") = (index_name IS NOT NULL))),
    CONSTRAINT previous_is_a_relreplident CHECK ((previous = ANY (ARRAY['d'::"char", 'n'::"char", 'i'::"char"])))
);


--
-- Name: TABLE identity; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.identity IS 'The replica identity that a table had before setup made it full.';


--
-- Name: COLUMN identity.relation; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.identity.relation IS 'The table; kept as regclass, which follows renames and survives a dump.';


--
-- Name: COLUMN identity.previous; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.identity.previous IS 'As in pg_class.relreplident: d default, n nothing, i index.';


--
-- Name: COLUMN identity.index_name; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.identity.index_name IS 'The index, where that was the identity.';


--
-- Name: invalid_hook; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.invalid_hook (
    hook text NOT NULL,
    reason text NOT NULL,
    panicked boolean NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: TABLE invalid_hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.invalid_hook IS 'Why hooks cannot be used, beside the column invalid of rowhook''s own table.';


--
-- Name: COLUMN invalid_hook.hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.invalid_hook.hook IS 'The id of the hook''s row, or its name in hooks.toml.';


--
-- Name: COLUMN invalid_hook.panicked; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.invalid_hook.panicked IS 'rowhook has a bug; the deliveries of the hook are kept.';


--
-- Name: message_key; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.message_key (
    single boolean DEFAULT true NOT NULL,
    key bytea NOT NULL,
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL,
    since pg_lsn,
    CONSTRAINT message_key_inner_pad_check CHECK ((length(inner_pad) = 64)),
    CONSTRAINT message_key_key_check CHECK ((length(key) = 64)),
    CONSTRAINT message_key_outer_pad_check CHECK ((length(outer_pad) = 64)),
    CONSTRAINT message_key_single_check CHECK (single)
);


--
-- Name: TABLE message_key; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.message_key IS 'The key that signs messages in the stream. Never grant it to another role: whoever reads it can forge events.';


--
-- Name: migration; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.migration (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: TABLE migration; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.migration IS 'Which of rowhook''s files in sql/ have been applied.';


--
-- Name: off_hook; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.off_hook (
    slot text NOT NULL,
    hook text NOT NULL,
    keeps boolean DEFAULT false NOT NULL
);


--
-- Name: TABLE off_hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.off_hook IS 'Hooks of a table of the application that are switched off at the position in progress; written together with it.';


--
-- Name: COLUMN off_hook.keeps; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.off_hook.keeps IS 'rowhook has switched it off, so what it hears is kept for it.';


--
-- Name: portal_link; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.portal_link (
    id bigint NOT NULL,
    owner text NOT NULL,
    hash bytea NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    used_at timestamp with time zone,
    ends_at timestamp with time zone NOT NULL,
    CONSTRAINT hash_is_a_sha256 CHECK ((octet_length(hash) = 32))
);


--
-- Name: TABLE portal_link; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.portal_link IS 'Links that open the portal for an owner, as hashes, and the sessions that they opened. Deleting a row ends its session.';


--
-- Name: COLUMN portal_link.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.portal_link.owner IS 'Whose hooks it opens, and no others.';


--
-- Name: COLUMN portal_link.hash; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.portal_link.hash IS 'The SHA-256 of the key in the link.';


--
-- Name: COLUMN portal_link.used_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.portal_link.used_at IS 'When it was used. It opens nothing any more.';


--
-- Name: COLUMN portal_link.ends_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.portal_link.ends_at IS 'Until when it can be used, and once it was, until when its session can last.';


--
-- Name: portal_link_id_seq; Type: SEQUENCE; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.portal_link ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rowhook.portal_link_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: progress; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.progress (
    slot text NOT NULL,
    system_identifier text NOT NULL,
    timeline bigint NOT NULL,
    confirmed pg_lsn NOT NULL,
    gap_told timestamp with time zone,
    commit_lsn pg_lsn,
    events bigint,
    rules text,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    held_since timestamp with time zone,
    held_hook text,
    hook_table oid,
    gap_found timestamp with time zone,
    server_version integer,
    relation oid,
    CONSTRAINT a_transaction_in_hand_is_whole CHECK ((num_nulls(commit_lsn, events, rules) = ANY (ARRAY[0, 3]))),
    CONSTRAINT events_are_counted CHECK ((events >= 0)),
    CONSTRAINT what_is_held_is_known CHECK ((num_nulls(held_since, held_hook) = ANY (ARRAY[0, 2])))
);


--
-- Name: TABLE progress; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.progress IS 'Where rowhook is in the WAL.';


--
-- Name: COLUMN progress.system_identifier; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.system_identifier IS 'Of the cluster; in another one, the positions mean nothing.';


--
-- Name: COLUMN progress.timeline; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.timeline IS 'Its timeline; a promoted standby and a restored backup have another.';


--
-- Name: COLUMN progress.confirmed; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.confirmed IS 'Nothing after this has been confirmed to the slot.';


--
-- Name: COLUMN progress.gap_told; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.gap_told IS 'When all hooks on rowhook.gap had been told, or it was parked for them.';


--
-- Name: COLUMN progress.commit_lsn; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.commit_lsn IS 'The transaction in hand, while a large one is.';


--
-- Name: COLUMN progress.events; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.events IS 'So many of its events, from the first on, are settled.';


--
-- Name: COLUMN progress.rules; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.rules IS 'A hash of [events], by which events are numbered; with others the numbers mean nothing.';


--
-- Name: COLUMN progress.held_since; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.held_since IS 'Since when the oldest unsettled delivery is held; null: not for long.';


--
-- Name: COLUMN progress.held_hook; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.held_hook IS 'The hook of that delivery.';


--
-- Name: COLUMN progress.hook_table; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.hook_table IS 'The table of the hooks at that position.';


--
-- Name: COLUMN progress.gap_found; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.gap_found IS 'When it was found that the slot does not go on from here.';


--
-- Name: COLUMN progress.server_version; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.server_version IS 'The version of Postgres, such as 170011.';


--
-- Name: COLUMN progress.relation; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.progress.relation IS 'The oid of this table, which pg_upgrade keeps, and a dump does not.';


--
-- Name: question_bell; Type: SEQUENCE; Schema: rowhook; Owner: -
--

CREATE SEQUENCE rowhook.question_bell
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: question_bell; Type: SEQUENCE OWNED BY; Schema: rowhook; Owner: -
--

ALTER SEQUENCE rowhook.question_bell OWNED BY rowhook.asking.xid;


--
-- Name: token; Type: TABLE; Schema: rowhook; Owner: -
--

CREATE TABLE rowhook.token (
    id bigint NOT NULL,
    name text NOT NULL,
    owner text NOT NULL,
    hash bytea NOT NULL,
    scope text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone,
    CONSTRAINT hash_is_a_sha256 CHECK ((octet_length(hash) = 32)),
    CONSTRAINT scope_is_known CHECK ((scope ~ '^(read|test|deliveries|hooks|write)( (read|test|deliveries|hooks|write))*$'::text))
);


--
-- Name: TABLE token; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON TABLE rowhook.token IS 'Tokens of owners for the API and the page, as hashes.';


--
-- Name: COLUMN token.name; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.token.name IS 'A note of whoever made it.';


--
-- Name: COLUMN token.owner; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.token.owner IS 'Whose hooks it opens, and no others.';


--
-- Name: COLUMN token.scope; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.token.scope IS 'Words: read: looks only; test: tests hooks; deliveries: sends deliveries again; hooks: makes and changes hooks; write: all of these. Each includes read.';


--
-- Name: COLUMN token.expires_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.token.expires_at IS 'From then on it opens nothing; null: it does not expire.';


--
-- Name: COLUMN token.revoked_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.token.revoked_at IS 'Since when it opens nothing any more.';


--
-- Name: COLUMN token.used_at; Type: COMMENT; Schema: rowhook; Owner: -
--

COMMENT ON COLUMN rowhook.token.used_at IS 'When it was last used, to the hour.';


--
-- Name: token_id_seq; Type: SEQUENCE; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.token ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rowhook.token_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Data for Name: asking; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: attempt; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.attempt OVERRIDING SYSTEM VALUE VALUES (1, 'msg_653abd51afa86d4cc517a88e15af5082', '1', 'book.added', 1, '2026-11-30 15:08:04.353581+00', 12.486963, true, 204, NULL, 'http://127.0.0.1:34863/hook', '{"accept": "*/*", "user-agent": "rowhook/0.1.0", "webhook-id": "msg_653abd51afa86d4cc517a88e15af5082", "content-type": "application/json", "webhook-timestamp": "1796051284"}', '\x7b22686f6f6b223a7b226964223a312c226576656e74223a22626f6f6b2e6164646564222c22746172676574223a22687474703a2f2f3132372e302e302e313a33343836332f686f6f6b227d2c2264617461223a7b226964223a312c22757365725f6964223a372c227368656c665f6964223a312c227469746c65223a2244756e65222c227072696365223a392e30307d7d', '{"date": "Mon, 30 Nov 2026 15:08:04 GMT", "server": "BaseHTTP/0.6 Python/3.11.7"}', '\x', '0/1A2ECB0', 0, '2026-11-30 15:08:04.329747+00', 1092040299515771763, NULL, '7', false, 'POST', '{1092040299515771763,757473946483740966}');
INSERT INTO rowhook.attempt OVERRIDING SYSTEM VALUE VALUES (2, 'msg_558b58e180201108934570d28a3b340f', '2', 'book.changed', 1, '2026-11-30 15:08:04.354934+00', 0.671211, false, NULL, 'no connection: Connection refused (os error 111)', 'http://127.0.0.1:9/nobody', '{"accept": "*/*", "user-agent": "rowhook/0.1.0", "webhook-id": "msg_558b58e180201108934570d28a3b340f", "content-type": "application/json", "webhook-timestamp": "1796051284"}', '\x7b22686f6f6b223a7b226964223a322c226576656e74223a22626f6f6b2e6368616e676564222c22746172676574223a22687474703a2f2f3132372e302e302e313a392f6e6f626f6479227d2c2264617461223a7b226964223a312c22757365725f6964223a372c227368656c665f6964223a312c227469746c65223a2244756e65222c227072696365223a382e30307d7d', NULL, NULL, '0/1A2ED70', 0, '2026-11-30 15:08:04.342443+00', 1092040299515771763, NULL, '7', false, 'POST', '{1092040299515771763,757473946483740966}');
INSERT INTO rowhook.attempt OVERRIDING SYSTEM VALUE VALUES (3, 'msg_57ed0781bb96158f32261131857ad59f', '3', 'greeting', 1, '2026-11-30 15:08:04.368818+00', 0.464473, false, NULL, 'no connection: Connection refused (os error 111)', 'http://127.0.0.1:9/nobody', '{"accept": "*/*", "user-agent": "rowhook/0.1.0", "webhook-id": "msg_57ed0781bb96158f32261131857ad59f", "content-type": "application/json", "webhook-timestamp": "1796051284"}', '\x7b22686f6f6b223a7b226964223a332c226576656e74223a226772656574696e67222c22746172676574223a22687474703a2f2f3132372e302e302e313a392f6e6f626f6479227d2c2264617461223a7b2268656c6c6f223a2022776f726c64227d7d', NULL, NULL, '0/1A2F6B8', 0, '2026-11-30 15:08:04.354923+00', 460655509372928, NULL, NULL, true, 'POST', '{757473946483740966}');


--
-- Data for Name: audit; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-30 15:08:04.323075+00', 'rowhook', NULL, NULL, NULL, NULL, 'audit.retention', NULL, NULL, NULL, NULL, NULL, '{"seconds": 34560000}', NULL, NULL);
INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-30 15:08:04.314561+00', 'sql', NULL, NULL, NULL, NULL, 'hook.created', '1', NULL, NULL, '7', NULL, '{"event": "book.added", "owner": "7", "active": true, "secret": "set", "target": "http://127.0.0.1:34863/hook"}', '0/1A2E758', 0);
INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-30 15:08:04.314561+00', 'sql', NULL, NULL, NULL, NULL, 'hook.created', '2', NULL, NULL, '7', NULL, '{"event": "book.changed", "owner": "7", "active": true, "secret": "set", "target": "http://127.0.0.1:9/nobody"}', '0/1A2E758', 1);
INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-30 15:08:04.314561+00', 'sql', NULL, NULL, NULL, NULL, 'hook.created', '3', NULL, NULL, NULL, NULL, '{"event": "greeting", "active": true, "target": "http://127.0.0.1:9/nobody"}', '0/1A2E758', 2);
INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (5, '2026-11-30 15:08:04.322032+00', 'sql', NULL, NULL, NULL, NULL, 'hook.created', '4', NULL, NULL, '8', NULL, '{"event": "book.*", "owner": "8", "active": false, "target": "http://127.0.0.1:34863/hook"}', '0/1A2E848', 0);
INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (6, '2026-11-30 15:08:04.573768+00', 'command line', NULL, NULL, NULL, NULL, 'token.created', NULL, NULL, NULL, '7', NULL, '{"name": "", "scope": "write", "token": 1}', NULL, NULL);
INSERT INTO rowhook.audit OVERRIDING SYSTEM VALUE VALUES (7, '2026-11-30 15:08:04.704092+00', 'command line', NULL, NULL, NULL, NULL, 'hook.disabled', '3', NULL, NULL, NULL, '{"active": true}', '{"active": false, "reason": "disabled by hand"}', NULL, NULL);


--
-- Data for Name: backfill; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: before_event; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: delivery; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.delivery VALUES ('msg_558b58e180201108934570d28a3b340f', '2', 'book.changed', 'parked', 'no connection: Connection refused (os error 111)', 1, '2026-11-30 16:12:16.167632+00', false, 1092040299515771763, NULL, '0/1A2ED70', 0, '2026-11-30 15:08:04.342443+00', '\x7b22686f6f6b223a7b226964223a322c226576656e74223a22626f6f6b2e6368616e676564222c22746172676574223a22687474703a2f2f3132372e302e302e313a392f6e6f626f6479227d2c2264617461223a7b226964223a312c22757365725f6964223a372c227368656c665f6964223a312c227469746c65223a2244756e65222c227072696365223a382e30307d7d', 'application/json', '2026-11-30 15:08:04.392263+00', '2026-11-30 15:08:04.392263+00', NULL, '7', false, 3600000, '{1092040299515771763,757473946483740966}', '{"payload":"rest-hooks","form":false,"bare":false,"key":{"id":1},"columns":["id"],"left_out":["user_id","shelf_id","title","price"]}');
INSERT INTO rowhook.delivery VALUES ('msg_57ed0781bb96158f32261131857ad59f', '3', 'greeting', 'parked', 'no connection: Connection refused (os error 111)', 1, '2026-11-30 16:13:06.329994+00', false, 460655509372928, NULL, '0/1A2F6B8', 0, '2026-11-30 15:08:04.354923+00', '\x7b22686f6f6b223a7b226964223a332c226576656e74223a226772656574696e67222c22746172676574223a22687474703a2f2f3132372e302e302e313a392f6e6f626f6479227d2c2264617461223a7b2268656c6c6f223a2022776f726c64227d7d', 'application/json', '2026-11-30 15:08:04.405457+00', '2026-11-30 15:08:04.405457+00', NULL, NULL, true, 3600000, '{757473946483740966}', '{"payload":"rest-hooks","form":false,"bare":false,"key":null,"columns":[],"left_out":["data"]}');


--
-- Data for Name: event; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.event VALUES ('hook.disabled', 'rowhook', false);
INSERT INTO rowhook.event VALUES ('rowhook.gap', 'rowhook', true);
INSERT INTO rowhook.event VALUES ('rowhook.delivered', 'rowhook', false);
INSERT INTO rowhook.event VALUES ('book.added', 'book.created', false);
INSERT INTO rowhook.event VALUES ('book.changed', 'book.updated', false);
INSERT INTO rowhook.event VALUES ('book.removed', 'book.deleted', false);
INSERT INTO rowhook.event VALUES ('greeting', 'custom', false);


--
-- Data for Name: failing; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.failing VALUES ('2', '2026-11-30 15:08:04.355636+00');
INSERT INTO rowhook.failing VALUES ('3', '2026-11-30 15:08:04.369301+00');


--
-- Data for Name: followed; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.followed VALUES ('rowhook', 16390, 'public', 'book', '[["id"]]', false, NULL, NULL, NULL, NULL, 16621, NULL);


--
-- Data for Name: forgotten; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: forgotten_mark; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: holder; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.holder VALUES ('rowhook', 'rowhook 37050759', '2026-11-30 15:08:04.190373+00');


--
-- Data for Name: hook; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.hook OVERRIDING SYSTEM VALUE VALUES (1, '7', 'book.added', 'http://127.0.0.1:34863/hook', 'whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYg==', true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-30 15:08:04.312381+00', '2026-11-30 15:08:04.312381+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO rowhook.hook OVERRIDING SYSTEM VALUE VALUES (2, '7', 'book.changed', 'http://127.0.0.1:9/nobody', 'whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYw==', true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-30 15:08:04.314444+00', '2026-11-30 15:08:04.314444+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO rowhook.hook OVERRIDING SYSTEM VALUE VALUES (4, '8', 'book.*', 'http://127.0.0.1:34863/hook', NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-30 15:08:04.32177+00', '2026-11-30 15:08:04.32177+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO rowhook.hook OVERRIDING SYSTEM VALUE VALUES (3, NULL, 'greeting', 'http://127.0.0.1:9/nobody', NULL, false, NULL, NULL, NULL, NULL, '2026-11-30 15:08:04.695161+00', 'disabled by hand', NULL, '2026-11-30 15:08:04.31453+00', '2026-11-30 15:08:04.696085+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);


--
-- Data for Name: idempotency; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: identity; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.identity VALUES ('public.book', 'd', NULL);


--
-- Data for Name: invalid_hook; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: message_key; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.message_key VALUES (true, '\xcfced4b834d8d2eba99a229fc686b7cf03655a3e0907cf66ec0a6ef05f90eb412d91f17f7d3f84aaad2c39468da29a6f34d0982c51e00f540b91125f610f2c78', '\xf9f8e28e02eee4dd9fac14a9f0b081f935536c083f31f950da3c58c669a6dd771ba7c7494b09b29c9b1a0f70bb94ac5902e6ae1a67d639623da7246957391a4e', '\x939288e468848eb7f5c67ec39adaeb935f390662555b933ab05632ac03ccb71d71cdad232163d8f6f170651ad1fec633688cc4700dbc530857cd4e033d537024', '0/1A2E060');


--
-- Data for Name: migration; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.migration VALUES (1, 'migration', '2026-11-30 15:08:03.393409+00');
INSERT INTO rowhook.migration VALUES (2, 'event', '2026-11-30 15:08:03.401302+00');
INSERT INTO rowhook.migration VALUES (3, 'hook', '2026-11-30 15:08:03.414588+00');
INSERT INTO rowhook.migration VALUES (4, 'identity', '2026-11-30 15:08:03.429372+00');
INSERT INTO rowhook.migration VALUES (5, 'delivery', '2026-11-30 15:08:03.480191+00');
INSERT INTO rowhook.migration VALUES (6, 'progress', '2026-11-30 15:08:03.497521+00');
INSERT INTO rowhook.migration VALUES (7, 'emit', '2026-11-30 15:08:03.497802+00');
INSERT INTO rowhook.migration VALUES (8, 'failing', '2026-11-30 15:08:03.513313+00');
INSERT INTO rowhook.migration VALUES (9, 'attempt', '2026-11-30 15:08:03.569308+00');
INSERT INTO rowhook.migration VALUES (10, 'due', '2026-11-30 15:08:03.570625+00');
INSERT INTO rowhook.migration VALUES (11, 'off_hook', '2026-11-30 15:08:03.58403+00');
INSERT INTO rowhook.migration VALUES (12, 'signature', '2026-11-30 15:08:03.58509+00');
INSERT INTO rowhook.migration VALUES (13, 'emit_row', '2026-11-30 15:08:03.585486+00');
INSERT INTO rowhook.migration VALUES (14, 'batch', '2026-11-30 15:08:03.585532+00');
INSERT INTO rowhook.migration VALUES (15, 'question', '2026-11-30 15:08:03.585663+00');
INSERT INTO rowhook.migration VALUES (16, 'replay', '2026-11-30 15:08:03.60127+00');
INSERT INTO rowhook.migration VALUES (17, 'token', '2026-11-30 15:08:03.617782+00');
INSERT INTO rowhook.migration VALUES (18, 'idempotency', '2026-11-30 15:08:03.641412+00');
INSERT INTO rowhook.migration VALUES (19, 'backfill', '2026-11-30 15:08:03.65478+00');
INSERT INTO rowhook.migration VALUES (20, 'fewer_indexes', '2026-11-30 15:08:03.661487+00');
INSERT INTO rowhook.migration VALUES (21, 'holder', '2026-11-30 15:08:03.669264+00');
INSERT INTO rowhook.migration VALUES (22, 'invalid_hook', '2026-11-30 15:08:03.679881+00');
INSERT INTO rowhook.migration VALUES (23, 'own_names', '2026-11-30 15:08:03.680731+00');
INSERT INTO rowhook.migration VALUES (24, 'whose', '2026-11-30 15:08:03.681546+00');
INSERT INTO rowhook.migration VALUES (25, 'hook_past', '2026-11-30 15:08:03.681808+00');
INSERT INTO rowhook.migration VALUES (26, 'gap', '2026-11-30 15:08:03.681897+00');
INSERT INTO rowhook.migration VALUES (28, 'content', '2026-11-30 15:08:03.682309+00');
INSERT INTO rowhook.migration VALUES (31, 'message_key', '2026-11-30 15:08:03.691515+00');
INSERT INTO rowhook.migration VALUES (33, 'by_hand', '2026-11-30 15:08:03.692099+00');
INSERT INTO rowhook.migration VALUES (34, 'shown_once', '2026-11-30 15:08:03.692266+00');
INSERT INTO rowhook.migration VALUES (35, 'rate', '2026-11-30 15:08:03.692645+00');
INSERT INTO rowhook.migration VALUES (36, 'followed', '2026-11-30 15:08:03.700975+00');
INSERT INTO rowhook.migration VALUES (37, 'sealing', '2026-11-30 15:08:03.701584+00');
INSERT INTO rowhook.migration VALUES (38, 'forgotten', '2026-11-30 15:08:03.705124+00');
INSERT INTO rowhook.migration VALUES (39, 'audit', '2026-11-30 15:08:03.725996+00');
INSERT INTO rowhook.migration VALUES (40, 'token_scopes', '2026-11-30 15:08:03.726205+00');
INSERT INTO rowhook.migration VALUES (42, 'forgotten_row', '2026-11-30 15:08:03.729381+00');
INSERT INTO rowhook.migration VALUES (43, 'ways_out', '2026-11-30 15:08:03.729828+00');
INSERT INTO rowhook.migration VALUES (44, 'settings', '2026-11-30 15:08:03.731655+00');
INSERT INTO rowhook.migration VALUES (46, 'portal', '2026-11-30 15:08:03.745146+00');
INSERT INTO rowhook.migration VALUES (47, 'arrived', '2026-11-30 15:08:03.749131+00');
INSERT INTO rowhook.migration VALUES (48, 'before', '2026-11-30 15:08:03.819152+00');
INSERT INTO rowhook.migration VALUES (51, 'division', '2026-11-30 15:08:03.819307+00');


--
-- Data for Name: off_hook; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: portal_link; Type: TABLE DATA; Schema: rowhook; Owner: -
--



--
-- Data for Name: progress; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.progress VALUES ('rowhook', '7713981507506616386', 1, '0/1A30F68', NULL, NULL, NULL, NULL, '2026-11-30 15:08:04.744977+00', NULL, NULL, 16419, NULL, 150018, 16468);


--
-- Data for Name: token; Type: TABLE DATA; Schema: rowhook; Owner: -
--

INSERT INTO rowhook.token OVERRIDING SYSTEM VALUE VALUES (1, '', '7', '\x7a0278afb42d93a489fc8881d7f22281dc8ab204ad9d8665da2b9d2c8a815643', 'write', '2026-11-30 15:08:04.57124+00', NULL, NULL, NULL);


--
-- Name: attempt_id_seq; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.attempt_id_seq', 3, true);


--
-- Name: audit_id_seq; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.audit_id_seq', 7, true);


--
-- Name: backfill_id_seq; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.backfill_id_seq', 1, false);


--
-- Name: hook_id_seq; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.hook_id_seq', 4, true);


--
-- Name: portal_link_id_seq; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.portal_link_id_seq', 1, false);


--
-- Name: question_bell; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.question_bell', 1, false);


--
-- Name: token_id_seq; Type: SEQUENCE SET; Schema: rowhook; Owner: -
--

SELECT pg_catalog.setval('rowhook.token_id_seq', 1, true);


--
-- Name: hook a_hook_names_an_event; Type: CHECK CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.hook
    ADD CONSTRAINT a_hook_names_an_event CHECK (((event IS NOT NULL) OR (COALESCE(cardinality(events), 0) > 0))) NOT VALID;


--
-- Name: asking asking_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.asking
    ADD CONSTRAINT asking_pkey PRIMARY KEY (xid, relation);


--
-- Name: attempt attempt_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (id);


--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);


--
-- Name: backfill backfill_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.backfill
    ADD CONSTRAINT backfill_pkey PRIMARY KEY (id);


--
-- Name: before_event before_event_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.before_event
    ADD CONSTRAINT before_event_pkey PRIMARY KEY (name);


--
-- Name: delivery delivery_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.delivery
    ADD CONSTRAINT delivery_pkey PRIMARY KEY (id);


--
-- Name: event event_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (name);


--
-- Name: failing failing_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.failing
    ADD CONSTRAINT failing_pkey PRIMARY KEY (hook);


--
-- Name: followed followed_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.followed
    ADD CONSTRAINT followed_pkey PRIMARY KEY (slot, oid);


--
-- Name: forgotten_mark forgotten_mark_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.forgotten_mark
    ADD CONSTRAINT forgotten_mark_pkey PRIMARY KEY (mark);


--
-- Name: forgotten forgotten_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.forgotten
    ADD CONSTRAINT forgotten_pkey PRIMARY KEY (owner);


--
-- Name: holder holder_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.holder
    ADD CONSTRAINT holder_pkey PRIMARY KEY (slot);


--
-- Name: hook hook_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.hook
    ADD CONSTRAINT hook_pkey PRIMARY KEY (id);


--
-- Name: idempotency idempotency_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (caller, key);


--
-- Name: identity identity_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (relation);


--
-- Name: invalid_hook invalid_hook_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.invalid_hook
    ADD CONSTRAINT invalid_hook_pkey PRIMARY KEY (hook);


--
-- Name: message_key message_key_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.message_key
    ADD CONSTRAINT message_key_pkey PRIMARY KEY (single);


--
-- Name: hook method_is_one_that_sends; Type: CHECK CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.hook
    ADD CONSTRAINT method_is_one_that_sends CHECK ((method = ANY (ARRAY['POST'::text, 'PUT'::text, 'PATCH'::text]))) NOT VALID;


--
-- Name: migration migration_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);


--
-- Name: off_hook off_hook_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.off_hook
    ADD CONSTRAINT off_hook_pkey PRIMARY KEY (slot, hook);


--
-- Name: hook order_is_row_hook_or_none; Type: CHECK CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE rowhook.hook
    ADD CONSTRAINT order_is_row_hook_or_none CHECK (("order" = ANY (ARRAY['row'::text, 'hook'::text, 'none'::text]))) NOT VALID;


--
-- Name: portal_link portal_link_hash_key; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.portal_link
    ADD CONSTRAINT portal_link_hash_key UNIQUE (hash);


--
-- Name: portal_link portal_link_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.portal_link
    ADD CONSTRAINT portal_link_pkey PRIMARY KEY (id);


--
-- Name: progress progress_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (slot);


--
-- Name: token token_hash_key; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.token
    ADD CONSTRAINT token_hash_key UNIQUE (hash);


--
-- Name: token token_pkey; Type: CONSTRAINT; Schema: rowhook; Owner: -
--

ALTER TABLE ONLY rowhook.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (id);


--
-- Name: attempt_arrived; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX attempt_arrived ON rowhook.attempt USING btree (started_at, delivery) WHERE delivered;


--
-- Name: attempt_of_delivery; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX attempt_of_delivery ON rowhook.attempt USING btree (delivery, number);


--
-- Name: attempt_of_hook; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX attempt_of_hook ON rowhook.attempt USING btree (hook, id DESC);


--
-- Name: attempt_success; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX attempt_success ON rowhook.attempt USING btree (hook, id DESC) WHERE delivered;


--
-- Name: audit_age; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX audit_age ON rowhook.audit USING btree (at);


--
-- Name: audit_of_hook; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX audit_of_hook ON rowhook.audit USING btree (hook, id) WHERE (hook IS NOT NULL);


--
-- Name: audit_of_owner; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX audit_of_owner ON rowhook.audit USING btree (owner, id) WHERE (owner IS NOT NULL);


--
-- Name: audit_place; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE UNIQUE INDEX audit_place ON rowhook.audit USING btree (commit_lsn, place) WHERE (commit_lsn IS NOT NULL);


--
-- Name: audit_retention; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX audit_retention ON rowhook.audit USING btree (id) WHERE (what = 'audit.retention'::text);


--
-- Name: delivery_age; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX delivery_age ON rowhook.delivery USING btree (updated_at) WHERE (state = 'dead'::text);


--
-- Name: delivery_dead; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX delivery_dead ON rowhook.delivery USING btree (hook, commit_lsn, event_index) WHERE (state = 'dead'::text);


--
-- Name: delivery_due; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX delivery_due ON rowhook.delivery USING btree (hook, next_attempt) WHERE ((state = 'parked'::text) AND (next_attempt IS NOT NULL));


--
-- Name: delivery_in_lane; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX delivery_in_lane ON rowhook.delivery USING btree (hook, lane, commit_lsn, event_index) WHERE (state = 'parked'::text);


--
-- Name: delivery_in_other_lane; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX delivery_in_other_lane ON rowhook.delivery USING btree (hook, other_lane, commit_lsn, event_index) WHERE ((state = 'parked'::text) AND (other_lane IS NOT NULL));


--
-- Name: delivery_newest; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX delivery_newest ON rowhook.delivery USING btree (created_at, id);


--
-- Name: idempotency_age; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX idempotency_age ON rowhook.idempotency USING btree (created_at);


--
-- Name: portal_link_ends_at; Type: INDEX; Schema: rowhook; Owner: -
--

CREATE INDEX portal_link_ends_at ON rowhook.portal_link USING btree (ends_at);


--
-- Name: audit audit_is_not_emptied; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON rowhook.audit FOR EACH STATEMENT EXECUTE FUNCTION rowhook.keep_audit();

ALTER TABLE rowhook.audit ENABLE ALWAYS TRIGGER audit_is_not_emptied;


--
-- Name: audit audit_stays; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER audit_stays BEFORE DELETE OR UPDATE ON rowhook.audit FOR EACH ROW EXECUTE FUNCTION rowhook.keep_audit();

ALTER TABLE rowhook.audit ENABLE ALWAYS TRIGGER audit_stays;


--
-- Name: delivery delivery_is_due; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER delivery_is_due BEFORE UPDATE OF state, next_attempt ON rowhook.delivery FOR EACH ROW WHEN (((new.state = 'parked'::text) AND ((old.state = 'dead'::text) OR ((new.next_attempt < old.next_attempt) AND (NOT old.claimed) AND (NOT new.claimed))))) EXECUTE FUNCTION rowhook.call_courier();


--
-- Name: hook hook_content_is_touched; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER hook_content_is_touched BEFORE UPDATE ON rowhook.hook FOR EACH ROW WHEN (((current_setting('rowhook.sealing'::text, true) IS DISTINCT FROM 'on'::text) AND (((((((((((((((((new.content IS DISTINCT FROM old.content) OR (new.content_type IS DISTINCT FROM old.content_type)) OR (new.user_agent IS DISTINCT FROM old.user_agent)) OR (new.template IS DISTINCT FROM old.template)) OR (new.rate IS DISTINCT FROM old.rate)) OR (new.certificate IS DISTINCT FROM old.certificate)) OR (new.compress IS DISTINCT FROM old.compress)) OR (new.events IS DISTINCT FROM old.events)) OR (new.method IS DISTINCT FROM old.method)) OR (new.auth IS DISTINCT FROM old.auth)) OR (new.timeout IS DISTINCT FROM old.timeout)) OR (new.retries IS DISTINCT FROM old.retries)) OR (new."order" IS DISTINCT FROM old."order")) OR (new.concurrency IS DISTINCT FROM old.concurrency)) OR (new.batch IS DISTINCT FROM old.batch)) OR (new.max_body IS DISTINCT FROM old.max_body)) OR (new.disable_after IS DISTINCT FROM old.disable_after)))) EXECUTE FUNCTION rowhook.touch_hook_content();


--
-- Name: hook hook_event_exists; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER hook_event_exists BEFORE INSERT OR UPDATE OF event, events ON rowhook.hook FOR EACH ROW EXECUTE FUNCTION rowhook.refuse_unknown_event();


--
-- Name: hook hook_is_touched; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER hook_is_touched BEFORE UPDATE ON rowhook.hook FOR EACH ROW WHEN ((current_setting('rowhook.sealing'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION rowhook.touch_hook();


--
-- Name: hook hooks_are_deleted_first; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE TRIGGER hooks_are_deleted_first BEFORE TRUNCATE ON rowhook.hook FOR EACH STATEMENT EXECUTE FUNCTION rowhook.delete_hooks_first();

ALTER TABLE rowhook.hook ENABLE ALWAYS TRIGGER hooks_are_deleted_first;


--
-- Name: asking transaction_asks; Type: TRIGGER; Schema: rowhook; Owner: -
--

CREATE CONSTRAINT TRIGGER transaction_asks AFTER UPDATE ON rowhook.asking DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rowhook.ask_transaction();


--
-- Name: FUNCTION ask_row(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.ask_row() FROM PUBLIC;


--
-- Name: FUNCTION ask_transaction(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.ask_transaction() FROM PUBLIC;


--
-- Name: FUNCTION await_answer(question text, until timestamp with time zone, locked_until timestamp with time zone, statement_until timestamp with time zone, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.await_answer(question text, until timestamp with time zone, locked_until timestamp with time zone, statement_until timestamp with time zone, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text) FROM PUBLIC;


--
-- Name: FUNCTION call_courier(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.call_courier() FROM PUBLIC;


--
-- Name: FUNCTION delete_hooks_first(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.delete_hooks_first() FROM PUBLIC;


--
-- Name: FUNCTION forgotten_name(owner text); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.forgotten_name(owner text) FROM PUBLIC;


--
-- Name: FUNCTION is_heard(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.is_heard() FROM PUBLIC;


--
-- Name: FUNCTION keep_audit(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.keep_audit() FROM PUBLIC;


--
-- Name: FUNCTION put_question(question json, timeout_ms integer, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.put_question(question json, timeout_ms integer, OUT allowed boolean, OUT silent boolean, OUT event text, OUT hook text, OUT reason text) FROM PUBLIC;


--
-- Name: FUNCTION question_lock(what text); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.question_lock(what text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_unknown_event(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.refuse_unknown_event() FROM PUBLIC;


--
-- Name: FUNCTION rung(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.rung() FROM PUBLIC;


--
-- Name: FUNCTION send_message(prefix text, content bytea); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.send_message(prefix text, content bytea) FROM PUBLIC;


--
-- Name: FUNCTION touch_hook(); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.touch_hook() FROM PUBLIC;


--
-- Name: FUNCTION write_question(content text, flush boolean); Type: ACL; Schema: rowhook; Owner: -
--

REVOKE ALL ON FUNCTION rowhook.write_question(content text, flush boolean) FROM PUBLIC;


--
-- PostgreSQL database dump complete
--


