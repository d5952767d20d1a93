-- What people, programs and rowhook itself have done to hooks, deliveries, tokens and settings. An act is written in
-- the transaction that does it. There are no secrets in it.
--
-- Rows are added, and stay: a trigger refuses everything else, for the owner of the table too. Two things prove
-- themselves. What is older than the retention may be deleted, and the retention is an act on record like others, so
-- that whoever shortens it leaves a trace which cannot be deleted. And an owner who is on record as forgotten may be
-- replaced by a hash.
create table audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null
        constraint actor_is_known
        check (actor in ('operator', 'owner', 'application', 'console', 'command line', 'signal', 'sql', 'rowhook', 'stranger')),
    actor_owner text,
    token text,
    address text,
    via text
        constraint via_is_known
        check (via in ('api', 'page')),
    what text not null,
    hook text,
    delivery text,
    event text,
    owner text,
    before jsonb
        constraint before_is_an_object
        check (jsonb_typeof(before) = 'object'),
    after jsonb
        constraint after_is_an_object
        check (jsonb_typeof(after) = 'object'),
    commit_lsn pg_lsn,
    place integer,
    constraint a_place_is_whole
        check (num_nulls(commit_lsn, place) in (0, 2))
);

comment on table audit is 'What was done to hooks, deliveries, tokens and settings, and by whom. Rows stay as they are until the retention is over.';
comment on column audit.actor is 'Who did it; application: a JWT of the application; sql: whoever wrote to the hook table.';
comment on column audit.actor_owner is 'The owner who did it, or whose token did.';
comment on column audit.token is 'The number of the token that was used, and its name.';
comment on column audit.address is 'Where the request came from.';
comment on column audit.via is 'How the request came.';
comment on column audit.what is 'What was done, such as hook.changed.';
comment on column audit.owner is 'The owner whose hook, delivery or token it was done to.';
comment on column audit.before is 'What was different before, without secrets.';
comment on column audit.after is 'What it became, without secrets.';
comment on column audit.commit_lsn is 'Where the stream has it, with place: a change in SQL is written once, however often the stream is read.';

-- A change that is read again is not written again.
create unique index audit_place on audit (commit_lsn, place) where commit_lsn is not null;
-- Lists the acts on a hook, and what concerns an owner, newest first, page by page.
create index audit_of_hook on audit (hook, id) where hook is not null;
create index audit_of_owner on audit (owner, id) where owner is not null;
-- Finds what is older than the retention, and the retention.
create index audit_age on audit (at);
create index audit_retention on audit (id) where what = 'audit.retention';

-- An owner who is forgotten, as the table has them from then on. The key keeps whoever reads the table alone from
-- trying all owners that there may be.
create function forgotten_name(owner text) returns text
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select 'forgotten:' || left(
        encode(
            sha256(its.outer_pad || sha256(its.inner_pad || convert_to('forgotten ' || owner, 'UTF8'))),
            'hex'
        ),
        32
    )
    from {schema}.message_key as its
$$;

comment on function forgotten_name is 'What stands in the audit for an owner who was forgotten.';
revoke all on function forgotten_name(text) from public;

create function keep_audit() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    retention_id bigint;
    retention interval;
begin
    if tg_op = 'DELETE' then
        select held.id, make_interval(secs => (held.after ->> 'seconds')::double precision)
        into retention_id, retention
        from {schema}.audit as held
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
            and (new.owner is not distinct from old.owner or new.owner = {schema}.forgotten_name(old.owner))
            and (
                new.actor_owner is not distinct from old.actor_owner
                or new.actor_owner = {schema}.forgotten_name(old.actor_owner)
            )
            and (new.token is null or new.token is not distinct from old.token)
            and (new.address is null or new.address is not distinct from old.address)
            and exists (
                select
                from {schema}.forgotten as f
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

comment on function keep_audit is 'Refuses to change or delete what is on record.';
revoke all on function keep_audit() from public;

create trigger audit_stays
    before update or delete on audit
    for each row
    execute function keep_audit();

create trigger audit_is_not_emptied
    before truncate on audit
    for each statement
    execute function keep_audit();

-- Also where replication or a tool has switched ordinary triggers off for its session.
alter table audit
    enable always trigger audit_stays,
    enable always trigger audit_is_not_emptied;
