-- Makes due at once what somebody has claimed who is not here any more: only the holder of the slot claims.
update delivery
set
    next_attempt = clock_timestamp(),
    claimed = false
where claimed
