-- A hook may name several events, and say how it is sent as [[hooks]] of hooks.toml do.
--
-- New columns are null, so no row is written and each hook stays what it is. The constraints are not checked on the
-- rows that are there, which would take as long as reading them while nobody else may use the table: the first holds
-- for all of them, since each has an event, and in the others nothing stands yet.
alter table hook
    alter column event drop not null,
    add column events text[],
    add column method text,
    add column auth jsonb,
    add column timeout text,
    add column retries jsonb,
    add column "order" text,
    add column concurrency integer,
    add column batch jsonb,
    add column max_body text,
    add column disable_after text,
    add constraint a_hook_names_an_event
        check (event is not null or coalesce(cardinality(events), 0) > 0)
        not valid,
    add constraint method_is_one_that_sends
        check (method in ('POST', 'PUT', 'PATCH'))
        not valid,
    add constraint order_is_row_hook_or_none
        check ("order" in ('row', 'hook', 'none'))
        not valid;

comment on column hook.event is 'An event of hooks.toml, or a pattern: book.* or *. It may be null where events names some.';
comment on column hook.events is 'More events and patterns, beside event or in its place.';
comment on column hook.method is 'POST, PUT or PATCH; null: POST.';
comment on column hook.auth is 'Credentials: {"bearer": "..."}, {"user": "...", "password": "..."} or {"oauth2": {"token_url", "client_id", "client_secret", "scope"}}. With [secrets] rowhook seals them.';
comment on column hook.timeout is 'The time-out of a request, such as 15s, where it differs from hooks.toml.';
comment on column hook.retries is 'The pauses between attempts, where they differ from hooks.toml: ["5s", "5m"], {"max_tries": 10}, or false for one attempt.';
comment on column hook."order" is 'row, hook or none, where it differs from hooks.toml.';
comment on column hook.concurrency is 'The most requests in flight, where that differs from hooks.toml.';
comment on column hook.batch is 'How deliveries are gathered, where that differs from hooks.toml: {"max": 100, "wait": "1s"}, or false.';
comment on column hook.max_body is 'The largest body, such as 20MiB, where it differs from hooks.toml.';
comment on column hook.disable_after is 'When it is disabled for failing, where that differs from hooks.toml: a time such as 5d, or a number of failures.';

-- As before, for each of the events.
create or replace function refuse_unknown_event() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    named text;
begin
    foreach named in array array_append(new.events, new.event) loop
        continue when named is null
            or named = '*'
            or exists (select from {schema}.event where name = named)
            or named like '%.*'
                and exists (select from {schema}.event where starts_with(name, left(named, -1)));
        raise exception 'there is no event %', named
            using errcode = 'check_violation',
                column = 'event',
                hint = format(
                    'The events are %s. They come from [events] in hooks.toml: after adding one there, run rowhook setup.',
                    (select string_agg(name, ', ' order by name) from {schema}.event)
                );
    end loop;
    return new;
end
$$;

drop trigger hook_event_exists on hook;

create trigger hook_event_exists
    before insert or update of event, events on hook
    for each row
    execute function refuse_unknown_event();

-- The same as before, and for these columns too. Sealing does not change a hook.
drop trigger hook_content_is_touched on hook;

create trigger hook_content_is_touched before update on hook
    for each row
    when (
        current_setting('rowhook.sealing', true) is distinct from 'on'
        and (
            new.content, new.content_type, new.user_agent, new.template, new.rate, new.certificate, new.compress,
            new.events, new.method, new.auth, new.timeout, new.retries, new."order", new.concurrency, new.batch,
            new.max_body, new.disable_after
        ) is distinct from (
            old.content, old.content_type, old.user_agent, old.template, old.rate, old.certificate, old.compress,
            old.events, old.method, old.auth, old.timeout, old.retries, old."order", old.concurrency, old.batch,
            old.max_body, old.disable_after
        )
    )
    execute function touch_hook_content();
