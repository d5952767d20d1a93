-- A token may be good for a part of what its owner may do. Its scope is a list of words, as OAuth writes scopes. The
-- words that there were before mean what they meant.

alter table token drop constraint scope_is_known;

alter table token add constraint scope_is_known
check (scope ~ '^(read|test|deliveries|hooks|write)( (read|test|deliveries|hooks|write))*$');

comment on column token.scope is
'Words: read: looks only; test: tests hooks; deliveries: sends deliveries again; hooks: makes and changes hooks; write: all of these. Each includes read.';
