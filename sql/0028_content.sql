-- How the bodies of a hook are encoded, and what else its requests look like.
alter table hook
    add column content text
        constraint content_is_json_or_form
        check (content in ('json', 'form')),
    add column content_type text,
    add column user_agent text,
    add column template text;

comment on column hook.content is 'json or form, where it differs from hooks.toml.';
comment on column hook.content_type is 'The content type of its requests, where it differs from that of hooks.toml.';
comment on column hook.user_agent is 'The user agent of its requests. Hooks with an owner may have one where [limits] allows it.';
comment on column hook.template is 'A template that makes what is sent in place of the row. Hooks with an owner may have one where [limits] allows it.';

-- Clears what was found wrong with a hook when it is changed, also in these columns.
create function touch_hook_content() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.invalid is not distinct from old.invalid then
        new.invalid := null;
    end if;
    return new;
end
$$;

create trigger hook_content_is_touched before update on hook
    for each row
    when (
        (new.content, new.content_type, new.user_agent, new.template)
        is distinct from (old.content, old.content_type, old.user_agent, old.template)
    )
    execute function touch_hook_content();
