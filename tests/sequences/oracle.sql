-- What happened, by Postgres itself. Triggers note each change of a row in its own transaction, with the values of the
-- statement, so that what is rolled back is not there.
create schema oracle;
create sequence oracle.entry;
create table oracle.log (
    entry bigint primary key default nextval('oracle.entry'),
    world int not null,
    -- The name of the table in hooks.toml, whatever it is called now.
    role text not null,
    -- insert, update, delete, truncate, or ddl.
    op text not null,
    old jsonb,
    new jsonb,
    owner int,
    -- Was the owner's row deleted by the same transaction?
    orphaned boolean not null default false,
    -- What is published of the table: whole, inserts, or none.
    published text not null default 'none',
    -- The replica identity: d, f, i or n.
    identity "char" not null default 'n',
    -- Has the table a primary key?
    has_key boolean not null default false,
    -- The columns that the stream leaves out.
    generated text[] not null default '{}',
    in_savepoint boolean not null default false,
    xid text not null default pg_current_xact_id()::text,
    -- What a change of a table altered: columns that generated ones are computed from, as they were called first; "table"
    -- where another one has taken its place; or "identity".
    altered text[] not null default '{}',
    -- After the commits before it, and before its own.
    lsn pg_lsn not null default pg_current_wal_insert_lsn()
);
-- Whose each shelf is. A shelf that is deleted leads to its owner until the transaction ends.
create table oracle.shelf (
    world int,
    id int,
    owner int,
    gone xid8,
    primary key (world, id)
);

create function oracle.published(of oid) returns text language sql stable as $$
    select case
        when exists (
            select from pg_publication_rel as r join pg_publication as p on p.oid = r.prpubid
            where r.prrelid = of and p.pubname = 'rowhook'
        ) then 'whole'
        when exists (
            select from pg_publication_rel as r join pg_publication as p on p.oid = r.prpubid
            where r.prrelid = of and p.pubname = 'rowhook_inserts'
        ) then 'inserts'
        else 'none'
    end
$$;

-- Is the table published as its replica identity allows?
create function oracle.is_settled(of oid) returns boolean language sql stable as $$
    with identified as (
        select bool_and(
            c.relreplident = 'f'
            or exists (
                select from pg_index as i
                where i.indrelid = c.oid
                    and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)
            )
        ) as it
        from pg_class as c
        where c.oid = of or c.oid in (select relid from pg_partition_tree(of))
    )
    select count(*) = 1 and bool_and(p.pubname = case when identified.it then 'rowhook' else 'rowhook_inserts' end)
    from identified, pg_publication_rel as r
    join pg_publication as p on p.oid = r.prpubid
    where r.prrelid = of
$$;

create function oracle.note() returns trigger language plpgsql as $$
declare
    in_world int := tg_argv[0];
    of_role text := tg_argv[1];
    o jsonb;
    n jsonb;
    the_owner int;
    is_orphaned boolean := false;
    shelf record;
begin
    if tg_op in ('UPDATE', 'DELETE') and tg_level = 'ROW' then
        o := to_jsonb(old);
    end if;
    if tg_op in ('INSERT', 'UPDATE') and tg_level = 'ROW' then
        n := to_jsonb(new);
    end if;
    if tg_op = 'TRUNCATE' then
        if of_role = 'shelf' then
            delete from oracle.shelf where world = in_world;
        end if;
    elsif of_role = 'book' then
        select s.owner, s.gone is not null as gone into shelf
        from oracle.shelf as s
        where s.world = in_world and s.id = (coalesce(n, o) ->> 'shelf_id')::int
            and (s.gone is null or s.gone = pg_current_xact_id());
        the_owner := shelf.owner;
        is_orphaned := coalesce(shelf.gone, false);
    else
        the_owner := (coalesce(n, o) ->> 'user_id')::int;
    end if;
    if of_role = 'shelf' and n is not null then
        insert into oracle.shelf values (in_world, (n ->> 'id')::int, the_owner, null)
        on conflict (world, id) do update set owner = excluded.owner, gone = null;
    elsif of_role = 'shelf' and o is not null then
        update oracle.shelf set gone = pg_current_xact_id() where world = in_world and id = (o ->> 'id')::int;
    end if;
    insert into oracle.log (world, role, op, old, new, owner, orphaned, published, identity, has_key, generated, in_savepoint)
    select
        in_world,
        of_role,
        lower(tg_op),
        o,
        n,
        the_owner,
        is_orphaned,
        oracle.published(coalesce(pg_partition_root(tg_relid), tg_relid)),
        (select relreplident from pg_class where oid = tg_relid),
        exists (select from pg_index where indrelid = tg_relid and indisprimary),
        (select coalesce(array_agg(attname::text), '{}') from pg_attribute where attrelid = tg_relid and attgenerated = 's'),
        coalesce(current_setting('oracle.in_savepoint', true), '') = 'yes';
    return null;
end
$$;

-- The triggers of a table. They come before those of foreign keys, as the row comes before those that go with it.
create procedure oracle.watch(of text, world int, role text) language plpgsql as $$
begin
    execute format(
        'create trigger "A_oracle" after insert or update or delete on %s for each row execute function oracle.note(%s, %L);
         create trigger "A_oracle_truncate" after truncate on %1$s for each statement execute function oracle.note(%2$s, %3$L)',
        of, world, role
    );
end
$$;
