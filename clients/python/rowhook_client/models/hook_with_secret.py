from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.last_answer import LastAnswer


T = TypeVar("T", bound="HookWithSecret")


@_attrs_define
class HookWithSecret:
    """A hook with its new secret, which is shown this once.

    Attributes:
        active (bool): Whether it is enabled.
        auth (None | str): What its credentials are, if it has some: `bearer`, `basic` or `oauth2`.
        batch (Any): How deliveries are gathered: `{"max": 100, "wait": "1s"}`, or false to send each alone; if it
            differs from
            hooks.toml.
        certificate (None | str): The name of the client certificate of its requests, if it has one of
            `[[certificates]]` in hooks.toml.
        compress (None | str): Whether its bodies are compressed, if that differs from hooks.toml: `gzip` or `none`.
        concurrency (Any): The most requests in flight, a number; if it differs from hooks.toml.
        content (None | str): How bodies are encoded, if that differs from hooks.toml: `json` or `form`.
        content_type (None | str): The content type of its requests, if it has one of its own.
        created_at (None | str): When it was made, if that is known.
        dead (int): Deliveries that were given up.
        description (None | str): A note by whoever made it.
        disable_after (Any): When it is disabled for failing: a time such as `5d`, or a number of failures; if it
            differs from hooks.toml.
        disabled_at (None | str): When it was disabled.
        disabled_reason (None | str): Why it was disabled.
        event (str): The event or pattern that it is subscribed to; several are separated by commas.
        events (list[str]): The same as a list.
        failing_since (None | str): When its failures began; null if the last attempt succeeded.
        filter_ (None | str): A CEL expression. Only events for which it is true are sent.
        headers (list[str]): The names of the headers that it adds. Their values may be secret.
        id (str): The key of its row, or its name in hooks.toml.
        invalid (None | str): Why it cannot be used; null if it can.
        last (LastAnswer | None):
        max_body (None | str): The largest body, such as `20MiB`; if it differs from hooks.toml.
        method (None | str): The method of its requests, if it is another than POST.
        order (None | str): What arrives in commit order: `row`, `hook` or `none`; if it differs from hooks.toml.
        origin (str): `table` for a row of the hook table; `file` for a hook of hooks.toml, which can be changed only
            there.
        owner (None | str): The owner whose events it gets; null for the events of all owners.
        parked (int): Deliveries that wait for another attempt.
        payload (None | str): The payload format, if it differs from that of hooks.toml.
        rate (None | str): The most requests in a time, if that differs from hooks.toml: `100/s` or `20/m`.
        retries (Any): The pauses between attempts: `["5s", "5m"]`, `{"max_tries": 10}`, or false for a single attempt;
            if it differs
            from hooks.toml.
        signature (Any): How its bodies are signed: `standard`, or an object of `header`, `algorithm`, `encoding` and
            `prefix`; if it
            differs from hooks.toml.
        signed (bool): Whether its requests are signed.
        state (str): `active`, `failing`, `disabled` or `invalid`.
        target (str): The URL that events are sent to, without credentials.
        template (None | str): The template that makes what is sent in place of the row, if it has one of its own.
        timeout (None | str): The time-out of a request, such as `15s`; if it differs from hooks.toml.
        updated_at (None | str): When it was last changed, if that is known.
        user_agent (None | str): The user agent of its requests, if it has one of its own.
        why (str): How it fares and what comes next, in one sentence for people.
        secret (None | str): The key of its signatures. Null if the hook table has no column for it, and in the answer
            to a request that is
            repeated with its `Idempotency-Key`: it is kept nowhere else, and whoever has missed it has a new one made.
    """

    active: bool
    auth: None | str
    batch: Any
    certificate: None | str
    compress: None | str
    concurrency: Any
    content: None | str
    content_type: None | str
    created_at: None | str
    dead: int
    description: None | str
    disable_after: Any
    disabled_at: None | str
    disabled_reason: None | str
    event: str
    events: list[str]
    failing_since: None | str
    filter_: None | str
    headers: list[str]
    id: str
    invalid: None | str
    last: LastAnswer | None
    max_body: None | str
    method: None | str
    order: None | str
    origin: str
    owner: None | str
    parked: int
    payload: None | str
    rate: None | str
    retries: Any
    signature: Any
    signed: bool
    state: str
    target: str
    template: None | str
    timeout: None | str
    updated_at: None | str
    user_agent: None | str
    why: str
    secret: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.last_answer import LastAnswer

        active = self.active

        auth: None | str
        auth = self.auth

        batch = self.batch

        certificate: None | str
        certificate = self.certificate

        compress: None | str
        compress = self.compress

        concurrency = self.concurrency

        content: None | str
        content = self.content

        content_type: None | str
        content_type = self.content_type

        created_at: None | str
        created_at = self.created_at

        dead = self.dead

        description: None | str
        description = self.description

        disable_after = self.disable_after

        disabled_at: None | str
        disabled_at = self.disabled_at

        disabled_reason: None | str
        disabled_reason = self.disabled_reason

        event = self.event

        events = self.events

        failing_since: None | str
        failing_since = self.failing_since

        filter_: None | str
        filter_ = self.filter_

        headers = self.headers

        id = self.id

        invalid: None | str
        invalid = self.invalid

        last: dict[str, Any] | None
        if isinstance(self.last, LastAnswer):
            last = self.last.to_dict()
        else:
            last = self.last

        max_body: None | str
        max_body = self.max_body

        method: None | str
        method = self.method

        order: None | str
        order = self.order

        origin = self.origin

        owner: None | str
        owner = self.owner

        parked = self.parked

        payload: None | str
        payload = self.payload

        rate: None | str
        rate = self.rate

        retries = self.retries

        signature = self.signature

        signed = self.signed

        state = self.state

        target = self.target

        template: None | str
        template = self.template

        timeout: None | str
        timeout = self.timeout

        updated_at: None | str
        updated_at = self.updated_at

        user_agent: None | str
        user_agent = self.user_agent

        why = self.why

        secret: None | str
        secret = self.secret

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "active": active,
                "auth": auth,
                "batch": batch,
                "certificate": certificate,
                "compress": compress,
                "concurrency": concurrency,
                "content": content,
                "content_type": content_type,
                "created_at": created_at,
                "dead": dead,
                "description": description,
                "disable_after": disable_after,
                "disabled_at": disabled_at,
                "disabled_reason": disabled_reason,
                "event": event,
                "events": events,
                "failing_since": failing_since,
                "filter": filter_,
                "headers": headers,
                "id": id,
                "invalid": invalid,
                "last": last,
                "max_body": max_body,
                "method": method,
                "order": order,
                "origin": origin,
                "owner": owner,
                "parked": parked,
                "payload": payload,
                "rate": rate,
                "retries": retries,
                "signature": signature,
                "signed": signed,
                "state": state,
                "target": target,
                "template": template,
                "timeout": timeout,
                "updated_at": updated_at,
                "user_agent": user_agent,
                "why": why,
                "secret": secret,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.last_answer import LastAnswer

        d = dict(src_dict)
        active = d.pop("active")

        def _parse_auth(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        auth = _parse_auth(d.pop("auth"))

        batch = d.pop("batch")

        def _parse_certificate(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        certificate = _parse_certificate(d.pop("certificate"))

        def _parse_compress(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        compress = _parse_compress(d.pop("compress"))

        concurrency = d.pop("concurrency")

        def _parse_content(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        content = _parse_content(d.pop("content"))

        def _parse_content_type(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        content_type = _parse_content_type(d.pop("content_type"))

        def _parse_created_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        created_at = _parse_created_at(d.pop("created_at"))

        dead = d.pop("dead")

        def _parse_description(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        description = _parse_description(d.pop("description"))

        disable_after = d.pop("disable_after")

        def _parse_disabled_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        disabled_at = _parse_disabled_at(d.pop("disabled_at"))

        def _parse_disabled_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        disabled_reason = _parse_disabled_reason(d.pop("disabled_reason"))

        event = d.pop("event")

        events = cast(list[str], d.pop("events"))

        def _parse_failing_since(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        failing_since = _parse_failing_since(d.pop("failing_since"))

        def _parse_filter_(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        filter_ = _parse_filter_(d.pop("filter"))

        headers = cast(list[str], d.pop("headers"))

        id = d.pop("id")

        def _parse_invalid(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        invalid = _parse_invalid(d.pop("invalid"))

        def _parse_last(data: object) -> LastAnswer | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                last_type_0 = LastAnswer.from_dict(data)

                return last_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(LastAnswer | None, data)

        last = _parse_last(d.pop("last"))

        def _parse_max_body(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        max_body = _parse_max_body(d.pop("max_body"))

        def _parse_method(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        method = _parse_method(d.pop("method"))

        def _parse_order(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        order = _parse_order(d.pop("order"))

        origin = d.pop("origin")

        def _parse_owner(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        owner = _parse_owner(d.pop("owner"))

        parked = d.pop("parked")

        def _parse_payload(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        payload = _parse_payload(d.pop("payload"))

        def _parse_rate(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        rate = _parse_rate(d.pop("rate"))

        retries = d.pop("retries")

        signature = d.pop("signature")

        signed = d.pop("signed")

        state = d.pop("state")

        target = d.pop("target")

        def _parse_template(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        template = _parse_template(d.pop("template"))

        def _parse_timeout(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        timeout = _parse_timeout(d.pop("timeout"))

        def _parse_updated_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        updated_at = _parse_updated_at(d.pop("updated_at"))

        def _parse_user_agent(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        user_agent = _parse_user_agent(d.pop("user_agent"))

        why = d.pop("why")

        def _parse_secret(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        secret = _parse_secret(d.pop("secret"))

        hook_with_secret = cls(
            active=active,
            auth=auth,
            batch=batch,
            certificate=certificate,
            compress=compress,
            concurrency=concurrency,
            content=content,
            content_type=content_type,
            created_at=created_at,
            dead=dead,
            description=description,
            disable_after=disable_after,
            disabled_at=disabled_at,
            disabled_reason=disabled_reason,
            event=event,
            events=events,
            failing_since=failing_since,
            filter_=filter_,
            headers=headers,
            id=id,
            invalid=invalid,
            last=last,
            max_body=max_body,
            method=method,
            order=order,
            origin=origin,
            owner=owner,
            parked=parked,
            payload=payload,
            rate=rate,
            retries=retries,
            signature=signature,
            signed=signed,
            state=state,
            target=target,
            template=template,
            timeout=timeout,
            updated_at=updated_at,
            user_agent=user_agent,
            why=why,
            secret=secret,
        )

        hook_with_secret.additional_properties = d
        return hook_with_secret

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
