-- What is needed to tell a gap every time, and once; and to tell a cluster that pg_upgrade has made from another one.

alter table progress
    add column gap_found timestamptz,
    add column server_version integer,
    add column relation oid;

comment on column progress.gap_found is 'When it was found that the slot does not go on from here.';
comment on column progress.gap_told is 'When all hooks on rowhook.gap had been told, or it was parked for them.';
comment on column progress.server_version is 'The version of Postgres, such as 170011.';
comment on column progress.relation is 'The oid of this table, which pg_upgrade keeps, and a dump does not.';
