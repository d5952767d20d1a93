-- How the requests of a hook leave: with which client certificate, and whether their bodies are compressed.
alter table hook
    add column certificate text,
    add column compress text
        constraint compress_is_gzip_or_none
        check (compress in ('gzip', 'none'));

comment on column hook.certificate is 'The name of a client certificate, one of [[certificates]] in hooks.toml.';
comment on column hook.compress is 'gzip or none, where it differs from hooks.toml.';

-- The same as before, and for these columns too.
drop trigger hook_content_is_touched on hook;

create trigger hook_content_is_touched before update on hook
    for each row
    when (
        (new.content, new.content_type, new.user_agent, new.template, new.rate, new.certificate, new.compress)
        is distinct from
        (old.content, old.content_type, old.user_agent, old.template, old.rate, old.certificate, old.compress)
    )
    execute function touch_hook_content();
