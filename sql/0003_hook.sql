-- A hook: where the events of an owner go. Inserting rows here, by hand or by the application, is supported.
--
-- rowhook reads this table from the replication stream, so a hook applies from exactly the commit that created it. An
-- application needs `usage` on the schema and `insert` on this table, and nothing else.

create table hook (
    id bigint generated always as identity primary key,
    owner text,
    event text not null
        constraint event_is_a_name_or_pattern
        check (event ~ '^(\*|[^[:space:]*]+(\.\*)?)$'),
    target text not null
        constraint target_is_an_http_url
        check (target ~* '^https?://[^[:space:]/?#]+[^[:space:]]*$'),
    secret text
        constraint secret_starts_with_whsec
        check (secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$'),
    active boolean not null default true,
    filter text,
    headers jsonb
        constraint headers_are_an_object
        check (jsonb_typeof(headers) = 'object'),
    payload text,
    invalid text,
    disabled_at timestamptz,
    disabled_reason text,
    description text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint what_is_disabled_is_not_active
        check (disabled_at is null or not active),
    constraint a_reason_has_its_time
        check (disabled_reason is null or disabled_at is not null)
);

-- With this, the stream has the whole row when a hook is removed, even if the primary key is changed.
alter table hook replica identity full;

comment on table hook is 'A hook: where the events of an owner go.';
comment on column hook.owner is 'Whose events it hears; null: everyone''s.';
comment on column hook.event is 'An event of hooks.toml, or a pattern: book.* or *.';
comment on column hook.target is 'The URL that events are POSTed to.';
comment on column hook.secret is 'Key of the signatures, whsec_ and base64 of 24 to 64 bytes; null: unsigned.';
comment on column hook.active is 'A hook that is not active hears nothing.';
comment on column hook.filter is 'A CEL expression; only events for which it is true are delivered.';
comment on column hook.headers is 'Headers to add to each request: {"name": "value"}.';
comment on column hook.payload is 'The shape of the body, where it differs from hooks.toml.';
comment on column hook.invalid is 'Why rowhook cannot use this hook; written by rowhook, cleared when the hook changes.';
comment on column hook.disabled_at is 'When rowhook disabled it; cleared when it is made active again.';
comment on column hook.disabled_reason is 'Why rowhook disabled it.';
comment on column hook.description is 'A note of whoever made it.';

-- A mistyped event would never fire, and nobody would notice. The check is made only when the event is written, so
-- hooks on an event that is removed from hooks.toml stay as they are. The function runs as its owner, because a role
-- that inserts hooks may lack the right to read `event`.
create function refuse_unknown_event() returns trigger
    language plpgsql
    security definer
    set search_path from current
as $$
begin
    if new.event = '*'
        or exists (select from event where name = new.event)
        or new.event like '%.*' and exists (select from event where starts_with(name, left(new.event, -1)))
    then
        return new;
    end if;
    raise exception 'there is no event %', new.event
        using errcode = 'check_violation',
            column = 'event',
            hint = format(
                'The events are %s. They come from [events] in hooks.toml: after adding one there, run rowhook setup.',
                (select string_agg(name, ', ' order by name) from event)
            );
end
$$;

comment on function refuse_unknown_event is 'Refuses a hook on an event that hooks.toml does not have.';
revoke all on function refuse_unknown_event from public;

create trigger hook_event_exists
    before insert or update of event on hook
    for each row
    execute function refuse_unknown_event();

-- A hook that was changed is checked again, and one that was made active again is no longer disabled.
create function touch_hook() returns trigger
    language plpgsql
    set search_path from current
as $$
begin
    new.updated_at := clock_timestamp();
    if new.active and not old.active then
        new.disabled_at := null;
        new.disabled_reason := null;
    end if;
    if new.invalid is not distinct from old.invalid
        and (new.event, new.target, new.secret, new.filter, new.headers, new.payload)
            is distinct from (old.event, old.target, old.secret, old.filter, old.headers, old.payload)
    then
        new.invalid := null;
    end if;
    return new;
end
$$;

comment on function touch_hook is 'Keeps updated_at, and clears what no longer holds.';
revoke all on function touch_hook from public;

create trigger hook_is_touched
    before update on hook
    for each row
    execute function touch_hook();
