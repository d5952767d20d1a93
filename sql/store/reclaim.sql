-- Makes due at once what an earlier holder of the slot has claimed: only the holder claims, and that is us now.
update delivery
set
    next_attempt = clock_timestamp(),
    claimed = false
where claimed
