-- Uses a link to the portal up, if it is still good. Of two who come at once, one is let in.
update portal_link
set used_at = clock_timestamp(), ends_at = clock_timestamp() + make_interval(secs => $2)
where hash = $1
    and used_at is null
    and ends_at > clock_timestamp()
returning id, owner
