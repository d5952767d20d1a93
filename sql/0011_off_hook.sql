-- The hooks that were switched off at the position of the slot. The hook table has their present state. After a crash
-- the stream begins a little earlier, and a hook receives what was committed while it was switched on.

create table off_hook (
    slot text not null,
    hook text not null,
    primary key (slot, hook)
);

comment on table off_hook is 'The hooks that are switched off at the position in progress; written together with it.';
