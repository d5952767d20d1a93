-- Makes due at once what was claimed and has not been attempted.
update delivery
set
    next_attempt = clock_timestamp(),
    claimed = false
where id = any($1)
    and claimed
