from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.string_map import StringMap


T = TypeVar("T", bound="HookChange")


@_attrs_define
class HookChange:
    """A change of a hook. What is left out stays, and what is null is cleared.

    Attributes:
        auth (Any | Unset): Credentials for the header `Authorization`: `{"bearer": …}`, `{"user": …, "password": …}`,
            or `{"oauth2":
            {"token_url": …, "client_id": …, "client_secret": …, "scope": …}}`. They are not shown again.
        batch (Any | Unset): How deliveries are gathered: `{"max": 100, "wait": "1s"}`, or false to send each alone.
        certificate (None | str | Unset): The name of the client certificate of its requests, one of `[[certificates]]`
            in hooks.toml.
        compress (None | str | Unset): Whether its bodies are compressed: `gzip` or `none`.
        concurrency (Any | Unset): The most requests in flight, a number.
        content (None | str | Unset): How bodies are encoded: `json` or `form`.
        content_type (None | str | Unset): The content type of its requests.
        description (None | str | Unset): A note.
        disable_after (Any | Unset): When it is disabled for failing: a time such as `5d`, or a number of failures.
        event (None | str | Unset): The event of hooks.toml to subscribe to, or a pattern.
        events (list[str] | None | Unset): More events and patterns, beside `event` or in its place: all of them, in
            place of those before.
        filter_ (None | str | Unset): A CEL expression. Only events for which it is true are sent.
        headers (None | StringMap | Unset): The headers to add to each request, in place of all that it adds now.
        max_body (None | str | Unset): The largest body, such as `20MiB`.
        method (None | str | Unset): The method of its requests: `POST`, `PUT` or `PATCH`.
        order (None | str | Unset): What arrives in commit order: `row`, `hook` or `none`.
        payload (None | str | Unset): The payload format.
        rate (None | str | Unset): The most requests in a time, such as `100/s` or `20/m`.
        retries (Any | Unset): The pauses between attempts: `["5s", "5m"]`, `{"max_tries": 10}`, or false for a single
            attempt.
        signature (Any | Unset): How its bodies are signed: `standard`, or an object of `header`, `algorithm`,
            `encoding` and `prefix`.
        target (None | str | Unset): The URL that events are POSTed to, also under the other names that a new hook's may
            have.
        template (None | str | Unset): A template that makes what is sent in place of the row.
        timeout (None | str | Unset): The time-out of a request, such as `15s`.
        user_agent (None | str | Unset): The user agent of its requests.
    """

    auth: Any | Unset = UNSET
    batch: Any | Unset = UNSET
    certificate: None | str | Unset = UNSET
    compress: None | str | Unset = UNSET
    concurrency: Any | Unset = UNSET
    content: None | str | Unset = UNSET
    content_type: None | str | Unset = UNSET
    description: None | str | Unset = UNSET
    disable_after: Any | Unset = UNSET
    event: None | str | Unset = UNSET
    events: list[str] | None | Unset = UNSET
    filter_: None | str | Unset = UNSET
    headers: None | StringMap | Unset = UNSET
    max_body: None | str | Unset = UNSET
    method: None | str | Unset = UNSET
    order: None | str | Unset = UNSET
    payload: None | str | Unset = UNSET
    rate: None | str | Unset = UNSET
    retries: Any | Unset = UNSET
    signature: Any | Unset = UNSET
    target: None | str | Unset = UNSET
    template: None | str | Unset = UNSET
    timeout: None | str | Unset = UNSET
    user_agent: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.string_map import StringMap

        auth = self.auth

        batch = self.batch

        certificate: None | str | Unset
        if isinstance(self.certificate, Unset):
            certificate = UNSET
        else:
            certificate = self.certificate

        compress: None | str | Unset
        if isinstance(self.compress, Unset):
            compress = UNSET
        else:
            compress = self.compress

        concurrency = self.concurrency

        content: None | str | Unset
        if isinstance(self.content, Unset):
            content = UNSET
        else:
            content = self.content

        content_type: None | str | Unset
        if isinstance(self.content_type, Unset):
            content_type = UNSET
        else:
            content_type = self.content_type

        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        disable_after = self.disable_after

        event: None | str | Unset
        if isinstance(self.event, Unset):
            event = UNSET
        else:
            event = self.event

        events: list[str] | None | Unset
        if isinstance(self.events, Unset):
            events = UNSET
        elif isinstance(self.events, list):
            events = self.events

        else:
            events = self.events

        filter_: None | str | Unset
        if isinstance(self.filter_, Unset):
            filter_ = UNSET
        else:
            filter_ = self.filter_

        headers: dict[str, Any] | None | Unset
        if isinstance(self.headers, Unset):
            headers = UNSET
        elif isinstance(self.headers, StringMap):
            headers = self.headers.to_dict()
        else:
            headers = self.headers

        max_body: None | str | Unset
        if isinstance(self.max_body, Unset):
            max_body = UNSET
        else:
            max_body = self.max_body

        method: None | str | Unset
        if isinstance(self.method, Unset):
            method = UNSET
        else:
            method = self.method

        order: None | str | Unset
        if isinstance(self.order, Unset):
            order = UNSET
        else:
            order = self.order

        payload: None | str | Unset
        if isinstance(self.payload, Unset):
            payload = UNSET
        else:
            payload = self.payload

        rate: None | str | Unset
        if isinstance(self.rate, Unset):
            rate = UNSET
        else:
            rate = self.rate

        retries = self.retries

        signature = self.signature

        target: None | str | Unset
        if isinstance(self.target, Unset):
            target = UNSET
        else:
            target = self.target

        template: None | str | Unset
        if isinstance(self.template, Unset):
            template = UNSET
        else:
            template = self.template

        timeout: None | str | Unset
        if isinstance(self.timeout, Unset):
            timeout = UNSET
        else:
            timeout = self.timeout

        user_agent: None | str | Unset
        if isinstance(self.user_agent, Unset):
            user_agent = UNSET
        else:
            user_agent = self.user_agent

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if auth is not UNSET:
            field_dict["auth"] = auth
        if batch is not UNSET:
            field_dict["batch"] = batch
        if certificate is not UNSET:
            field_dict["certificate"] = certificate
        if compress is not UNSET:
            field_dict["compress"] = compress
        if concurrency is not UNSET:
            field_dict["concurrency"] = concurrency
        if content is not UNSET:
            field_dict["content"] = content
        if content_type is not UNSET:
            field_dict["content_type"] = content_type
        if description is not UNSET:
            field_dict["description"] = description
        if disable_after is not UNSET:
            field_dict["disable_after"] = disable_after
        if event is not UNSET:
            field_dict["event"] = event
        if events is not UNSET:
            field_dict["events"] = events
        if filter_ is not UNSET:
            field_dict["filter"] = filter_
        if headers is not UNSET:
            field_dict["headers"] = headers
        if max_body is not UNSET:
            field_dict["max_body"] = max_body
        if method is not UNSET:
            field_dict["method"] = method
        if order is not UNSET:
            field_dict["order"] = order
        if payload is not UNSET:
            field_dict["payload"] = payload
        if rate is not UNSET:
            field_dict["rate"] = rate
        if retries is not UNSET:
            field_dict["retries"] = retries
        if signature is not UNSET:
            field_dict["signature"] = signature
        if target is not UNSET:
            field_dict["target"] = target
        if template is not UNSET:
            field_dict["template"] = template
        if timeout is not UNSET:
            field_dict["timeout"] = timeout
        if user_agent is not UNSET:
            field_dict["user_agent"] = user_agent

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.string_map import StringMap

        d = dict(src_dict)
        auth = d.pop("auth", UNSET)

        batch = d.pop("batch", UNSET)

        def _parse_certificate(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        certificate = _parse_certificate(d.pop("certificate", UNSET))

        def _parse_compress(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        compress = _parse_compress(d.pop("compress", UNSET))

        concurrency = d.pop("concurrency", UNSET)

        def _parse_content(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        content = _parse_content(d.pop("content", UNSET))

        def _parse_content_type(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        content_type = _parse_content_type(d.pop("content_type", UNSET))

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        disable_after = d.pop("disable_after", UNSET)

        def _parse_event(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        event = _parse_event(d.pop("event", UNSET))

        def _parse_events(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                events_type_0 = cast(list[str], data)

                return events_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        events = _parse_events(d.pop("events", UNSET))

        def _parse_filter_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        filter_ = _parse_filter_(d.pop("filter", UNSET))

        def _parse_headers(data: object) -> None | StringMap | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                headers_type_0 = StringMap.from_dict(data)

                return headers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | StringMap | Unset, data)

        headers = _parse_headers(d.pop("headers", UNSET))

        def _parse_max_body(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        max_body = _parse_max_body(d.pop("max_body", UNSET))

        def _parse_method(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        method = _parse_method(d.pop("method", UNSET))

        def _parse_order(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        order = _parse_order(d.pop("order", UNSET))

        def _parse_payload(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        payload = _parse_payload(d.pop("payload", UNSET))

        def _parse_rate(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        rate = _parse_rate(d.pop("rate", UNSET))

        retries = d.pop("retries", UNSET)

        signature = d.pop("signature", UNSET)

        def _parse_target(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        target = _parse_target(d.pop("target", UNSET))

        def _parse_template(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        template = _parse_template(d.pop("template", UNSET))

        def _parse_timeout(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        timeout = _parse_timeout(d.pop("timeout", UNSET))

        def _parse_user_agent(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        user_agent = _parse_user_agent(d.pop("user_agent", UNSET))

        hook_change = cls(
            auth=auth,
            batch=batch,
            certificate=certificate,
            compress=compress,
            concurrency=concurrency,
            content=content,
            content_type=content_type,
            description=description,
            disable_after=disable_after,
            event=event,
            events=events,
            filter_=filter_,
            headers=headers,
            max_body=max_body,
            method=method,
            order=order,
            payload=payload,
            rate=rate,
            retries=retries,
            signature=signature,
            target=target,
            template=template,
            timeout=timeout,
            user_agent=user_agent,
        )

        return hook_change
