-- Events that are asked about before their transaction commits: [events."book.removing"] before = "book.deleted".
--
-- Deferred triggers on the tables of such events write each changed row into the WAL, as messages that are outside of
-- the transaction, and so are decoded before it commits. Then ask_transaction waits for what rowhook says of it. A
-- session of rowhook's says it with advisory locks, which everyone sees at once in every isolation level, and which
-- leave nothing behind. Their keys are made with message_key, so nobody else can take one before rowhook has.
--
-- The triggers run as the owner of the schema: the role of the application needs no right here. They run no code of
-- others, because a row is only printed: output functions are in C, and only superusers make such.

-- The events that are asked about; setup copies them from hooks.toml.
create table before_event (
    name text primary key,
    -- What is asked about, such as book.deleted, or custom for rowhook.ask.
    source text not null,
    -- How long an endpoint may take.
    timeout_ms integer not null check (timeout_ms > 0),
    -- What silence means: the transaction is refused, or goes on.
    refuses boolean not null
);

comment on table before_event is 'The events of hooks.toml that endpoints are asked about before the transaction commits.';

-- What the running transaction has to ask about: a row for each table, which is deleted again before it commits. Nobody
-- else sees it, and nobody searches it with the snapshot of the transaction, so that serializable transactions have no
-- conflicts here: on conflict looks at the index alone, and a row is deleted by its place.
create table asking (
    xid xid8 not null,
    relation oid not null,
    timeout_ms integer not null,
    refuses boolean not null,
    primary key (xid, relation)
);

comment on table asking is 'The tables whose changed rows a running transaction has to ask about. Always empty for others.';

alter table asking set unlogged;

-- Rung with each question where the WAL is not flushed with it, before Postgres 17. rowhook looks at it, because it
-- sees a message only when that is flushed. Sequences do not wait for transactions.
create sequence question_bell owned by asking.xid;

-- The key of an advisory lock that only rowhook can know. Whoever sees a lock in pg_locks can take it after that, but
-- not before.
create function question_lock(what text) returns bigint
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select (
        'x' || left(
            encode(
                sha256(its.outer_pad || sha256(its.inner_pad || convert_to('rowhook.lock ' || what, 'UTF8'))),
                'hex'
            ),
            16
        )
    )::bit(64)::bigint
    from {schema}.message_key as its
$$;

comment on function question_lock is 'The key of an advisory lock that says something of a question. For rowhook alone: whoever may call it can answer.';

revoke all on function question_lock(text) from public;

-- Writes a part of a question into the stream, signed. It is outside of the transaction, whose id the stream does not
-- tell of such messages; so the content names the question. With flush, the server sends it at once.
create function write_question(content text, flush boolean) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
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
    from {schema}.message_key as its;
    if flush and current_setting('server_version_num')::integer >= 170000 then
        perform pg_logical_emit_message(false, 'rowhook.before', message, true);
        return;
    end if;
    perform pg_logical_emit_message(false, 'rowhook.before', message);
    if flush then
        perform nextval({bell});
    end if;
end
$$;

comment on function write_question is 'Writes a signed part of a question into the stream. For rowhook alone: whoever may call it can forge questions.';

revoke all on function write_question(text, boolean) from public;

-- How often the bell was rung.
create function rung() returns bigint
    language sql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    -- A new sequence has the value that it will first return.
    select bell.last_value + bell.is_called::integer from {schema}.question_bell as bell
$$;

comment on function rung is 'The number of the last question, before Postgres 17. rowhook looks at it.';

revoke all on function rung() from public;

-- Whether a rowhook answers questions now: it holds a lock. That this is rowhook, and not somebody who has seen the
-- lock before, is told by the role that its session began as: only one that may read message_key counts.
create function is_heard() returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    ready bigint := {schema}.question_lock('ready');
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
            and has_table_privilege(session.usesysid, {key}, 'select')
    );
end
$$;

comment on function is_heard is 'Whether a rowhook answers questions now.';

revoke all on function is_heard() from public;

-- Waits for the answer to a question. rowhook takes the lock "wait" when it has read the question. With the answer it
-- takes one of three other locks, and then gives the first one back, which wakes this function. Whoever takes "wait"
-- once they see it makes the answer late by a lock_timeout of this function, and that is all.
--
-- All waiting can be interrupted. What the application has set for its statements counts too: a COMMIT has no
-- statement_timeout of its own, and the waits of this function are shorter than the lock_timeout of the application.
create function await_answer(
    question text,
    until timestamptz,
    locked_until timestamptz,
    statement_until timestamptz,
    out allowed boolean,
    out silent boolean,
    out event text,
    out hook text,
    out reason text
)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '250ms'
as $$
declare
    wait bigint := {schema}.question_lock(question || ' wait');
    yes bigint := {schema}.question_lock(question || ' allowed');
    no bigint := {schema}.question_lock(question || ' refused');
    mute bigint := {schema}.question_lock(question || ' silent');
    tag bigint := ({schema}.question_lock(question || ' text') >> 38) & 67108863;
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
            if not {schema}.is_heard() then
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

comment on function await_answer is 'Waits for the answer to a question. allowed is null where there is none.';

revoke all on function await_answer(text, timestamptz, timestamptz, timestamptz) from public;

-- Asks, and waits for the answer. Where nobody is there to answer, it does not wait.
create function put_question(
    question json,
    timeout_ms integer,
    out allowed boolean,
    out silent boolean,
    out event text,
    out hook text,
    out reason text
)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    id text := gen_random_uuid()::text;
    now timestamptz := clock_timestamp();
    lock_wait interval := nullif(current_setting('lock_timeout'), '0')::interval;
    statement_wait interval := nullif(current_setting('statement_timeout'), '0')::interval;
    answer record;
begin
    if not {schema}.is_heard() then
        reason := 'no rowhook is there to ask the endpoints';
        return;
    end if;
    perform {schema}.write_question(
        json_build_object('ask', id, 'asked', extract(epoch from now), 'question', question)::text,
        true
    );
    -- An endpoint has its time from when rowhook has read the question.
    answer := {schema}.await_answer(
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

comment on function put_question is 'Asks a question and waits for the answer. allowed is null where there is none.';

revoke all on function put_question(json, integer) from public;

-- Runs at COMMIT for each row that was changed, and writes it into the stream. Its arguments are the table as
-- hooks.toml calls it (schema, name), the actions that are asked about (i, u, d), how long an endpoint may take, and
-- what silence means. The other actions are heard where a row that is asked about was changed again.
--
-- With these settings, values are printed as rowhook reads them.
create function ask_row() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO'
    set intervalstyle = 'postgres'
    set extra_float_digits = 1
    set timezone = 'UTC'
    set bytea_output = 'hex'
    set xmloption = 'content'
as $$
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
    insert into {schema}.asking (xid, relation, timeout_ms, refuses)
    values (mine, tg_relid, tg_argv[3]::integer, tg_argv[4]::boolean)
    on conflict do nothing
    returning ctid into place;
    perform set_config(marker, mine::text, true);
    perform {schema}.write_question(
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
        update {schema}.asking as its
        set refuses = its.refuses
        where its.ctid = place;
    end if;
    return null;
end
$$;

comment on function ask_row is 'Writes a changed row into the stream before its transaction commits. Only the triggers that setup makes may call it.';

revoke all on function ask_row() from public;

-- Runs when ask_row has run for all rows, because it is deferred until then. Of several tables the first one asks about
-- all rows; for the others there is nothing left to ask, unless silence means something else there.
create function ask_transaction() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    answer record;
    about text := {schema}.name_of(new.relation);
begin
    -- What is changed later, with constraints that are set immediate, is asked about anew.
    delete from {schema}.asking where ctid = new.ctid;
    answer := {schema}.put_question(json_build_object('xid', new.xid::text), new.timeout_ms);
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

comment on function ask_transaction is 'Asks about all rows of a transaction, and ends it where that is refused.';

revoke all on function ask_transaction() from public;

create constraint trigger transaction_asks
    after update on asking
    deferrable initially deferred
    for each row
    execute function ask_transaction();

-- Asks about what is not a row.
create function ask(
    event text,
    payload jsonb default null,
    out allowed boolean,
    out hook text,
    out reason text
)
    language plpgsql
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    known record;
    answer record;
begin
    select its.timeout_ms, its.refuses
    into known
    from {schema}.before_event as its
    where its.name = ask.event and its.source = 'custom';
    if not found then
        raise exception 'there is no event % to ask about', ask.event
            using errcode = 'check_violation',
                hint = format(
                    'Those are %s. They come from [events] in hooks.toml, [events."name"] before = "custom": after adding one there, run rowhook setup.',
                    coalesce(
                        (
                            select string_agg(its.name, ', ' order by its.name)
                            from {schema}.before_event as its
                            where its.source = 'custom'
                        ),
                        'none'
                    )
                );
    end if;
    answer := {schema}.put_question(
        json_build_object('event', ask.event, 'payload', ask.payload),
        known.timeout_ms
    );
    allowed := coalesce(answer.allowed, not known.refuses);
    hook := answer.hook;
    reason := answer.reason;
end
$$;

comment on function ask(text, jsonb) is 'Asks the hooks of an event of hooks.toml, and waits: whether they allow it, and if not, which hook refuses and why.';
