-- Several deliveries may go in one request, which then has one webhook-id for all of them. The tables still have a row
-- for each delivery. Their columns are described anew.
comment on column delivery.id is 'The webhook-id, or with batch one of the ids in rowhook-batch: the same in every attempt and after every restart.';
comment on column delivery.body is 'The exact bytes, or with batch those of its member of the array; signatures are made anew for each attempt.';
comment on column attempt.delivery is 'Its id in delivery, where one that has arrived has no row.';
comment on column attempt.request_headers is 'All but the signature; values that a hook adds may be secret and show as an ellipsis, as do the ids of a batch. Its webhook-id is common to all of its deliveries.';
comment on column attempt.request_body is 'The exact bytes, of a batch those of this delivery; null where they are many, or [history] keeps no bodies.';
