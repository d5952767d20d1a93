-- Whoever forgets something waits until a running rowhook has left that out of its memory.
alter table holder add column forgotten_seen timestamptz;

comment on column holder.forgotten_seen is 'What was forgotten until then is not in its memory any more.';
