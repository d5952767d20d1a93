-- Signatures of other kinds, and secrets that are being replaced.
--
-- A secret that begins like one of Standard Webhooks must be one. Any other text is the key of a `signature` in a
-- header of the receiver's choice. rowhook marks a hook as invalid if it should sign as Standard Webhooks with such a
-- key.
alter table hook
    add column signature jsonb
        constraint signature_is_standard_or_an_object
        check (signature = '"standard"' or jsonb_typeof(signature) = 'object'),
    add column previous_secret text
        constraint previous_secret_is_well_formed
        check (
            previous_secret <> ''
            and (previous_secret !~ '^whsec_' or previous_secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$')
            and (previous_secret !~ '^whsk_' or previous_secret ~ '^whsk_([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$')
        ),
    add column previous_secret_expires_at timestamptz,
    drop constraint secret_starts_with_whsec,
    add constraint secret_is_well_formed
        check (
            secret <> ''
            and (secret !~ '^whsec_' or secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$')
            and (secret !~ '^whsk_' or secret ~ '^whsk_([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$')
        ),
    add constraint a_previous_secret_has_a_newer_one
        check (previous_secret is null or secret is not null),
    add constraint only_a_previous_secret_expires
        check (previous_secret_expires_at is null or previous_secret is not null);

comment on column hook.secret is 'Key of the signatures: whsec_ and base64 of 24 to 64 bytes, whsk_ and base64 of an ed25519 key, or any text for a signature in another header; null: unsigned.';
comment on column hook.signature is '"standard", or {"header", "algorithm", "encoding", "prefix"}, where it differs from hooks.toml.';
comment on column hook.previous_secret is 'The secret before it, which signs too while receivers learn the new one.';
comment on column hook.previous_secret_expires_at is 'When the previous secret signs no more; null: when it is removed.';

-- As before, with the new columns.
create or replace function touch_hook() returns trigger
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
