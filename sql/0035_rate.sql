-- How many requests a hook gets in a time.
alter table hook
    add column rate text
        constraint rate_is_a_number_and_its_time
        check (rate ~ '^[1-9][0-9]{0,6}/[sm]$');

comment on column hook.rate is 'The most requests in a second or a minute, such as 100/s or 20/m, where it differs from hooks.toml.';

-- The same as before, and for this column too.
drop trigger hook_content_is_touched on hook;

create trigger hook_content_is_touched before update on hook
    for each row
    when (
        (new.content, new.content_type, new.user_agent, new.template, new.rate)
        is distinct from (old.content, old.content_type, old.user_agent, old.template, old.rate)
    )
    execute function touch_hook_content();
