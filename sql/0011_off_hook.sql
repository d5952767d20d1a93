-- The hooks that were switched off where the slot stands. The hook table says how hooks are now; after a crash the stream
-- begins somewhat before that, and a hook hears what was committed while it was on.

create table off_hook (
    slot text not null,
    hook text not null,
    primary key (slot, hook)
);

comment on table off_hook is 'The hooks that are switched off at the position in progress; written together with it.';
