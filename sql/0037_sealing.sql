-- Sealing what is secret in a hook does not change the hook: it stays as it is, and keeps the time of its last change.
-- rowhook seals with the setting rowhook.sealing = on.
drop trigger hook_is_touched on hook;

create trigger hook_is_touched
    before update on hook
    for each row
    when (current_setting('rowhook.sealing', true) is distinct from 'on')
    execute function touch_hook();

comment on column hook.secret is 'Key of the signatures: whsec_ and base64 of 24 to 64 bytes, whsk_ and base64 of an ed25519 key, or any text for a signature in another header; null: unsigned. With [secrets] rowhook seals it.';
comment on column hook.previous_secret is 'The secret before it, which signs too while receivers learn the new one. With [secrets] rowhook seals it.';
comment on column hook.target is 'The URL that events are POSTed to. With [secrets] rowhook seals the credentials in it.';
comment on column hook.headers is 'Headers to add to each request: {"name": "value"}. With [secrets] rowhook seals the values.';
