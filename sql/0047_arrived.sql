-- Lists what was delivered, newest first, page by page. Failures are not in it, so it takes nothing where an endpoint
-- fails.
create index attempt_arrived on attempt (started_at, delivery)
    where delivered;
