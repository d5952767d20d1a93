from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.string_map import StringMap


T = TypeVar("T", bound="NewHook")


@_attrs_define
class NewHook:
    """A hook to be made.

    Attributes:
        event (str): The event of hooks.toml to subscribe to, or a pattern: `book.*` or `*`.
        target (str): The URL that events are POSTed to. Also taken under the names that others have for it:
            `target_url`,
            `targetUrl`, `hookUrl` and `url`.
        certificate (None | str | Unset): The name of the client certificate of its requests, one of `[[certificates]]`
            in hooks.toml.
        compress (None | str | Unset): Whether its bodies are compressed: `gzip` or `none`, if that is to differ from
            hooks.toml.
        content (None | str | Unset): How bodies are encoded: `json` or `form`, if that is to differ from hooks.toml.
        content_type (None | str | Unset): The content type of its requests, if it is to differ from that of hooks.toml.
        description (None | str | Unset): A note.
        filter_ (None | str | Unset): A CEL expression. Only events for which it is true are sent.
        headers (None | StringMap | Unset): Headers to add to each request.
        owner (None | str | Unset): The owner whose events it gets. Owners make hooks of their own and may leave it out.
            A hook of the operator
            without it gets the events of all owners.
        payload (None | str | Unset): The payload format, if it is to differ from that of hooks.toml.
        rate (None | str | Unset): The most requests in a time, such as `100/s` or `20/m`, if it is to differ from
            hooks.toml.
        secret (None | str | Unset): The key of its signatures, `whsec_…`. Without it, one is generated.
        template (None | str | Unset): A template that makes what is sent in place of the row. Owners may have one where
            `[limits]` allows it.
        user_agent (None | str | Unset): The user agent of its requests. Owners may name one where `[limits]` allows it.
    """

    event: str
    target: str
    certificate: None | str | Unset = UNSET
    compress: None | str | Unset = UNSET
    content: None | str | Unset = UNSET
    content_type: None | str | Unset = UNSET
    description: None | str | Unset = UNSET
    filter_: None | str | Unset = UNSET
    headers: None | StringMap | Unset = UNSET
    owner: None | str | Unset = UNSET
    payload: None | str | Unset = UNSET
    rate: None | str | Unset = UNSET
    secret: None | str | Unset = UNSET
    template: None | str | Unset = UNSET
    user_agent: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.string_map import StringMap

        event = self.event

        target = self.target

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

        owner: None | str | Unset
        if isinstance(self.owner, Unset):
            owner = UNSET
        else:
            owner = self.owner

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

        secret: None | str | Unset
        if isinstance(self.secret, Unset):
            secret = UNSET
        else:
            secret = self.secret

        template: None | str | Unset
        if isinstance(self.template, Unset):
            template = UNSET
        else:
            template = self.template

        user_agent: None | str | Unset
        if isinstance(self.user_agent, Unset):
            user_agent = UNSET
        else:
            user_agent = self.user_agent

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "event": event,
                "target": target,
            }
        )
        if certificate is not UNSET:
            field_dict["certificate"] = certificate
        if compress is not UNSET:
            field_dict["compress"] = compress
        if content is not UNSET:
            field_dict["content"] = content
        if content_type is not UNSET:
            field_dict["content_type"] = content_type
        if description is not UNSET:
            field_dict["description"] = description
        if filter_ is not UNSET:
            field_dict["filter"] = filter_
        if headers is not UNSET:
            field_dict["headers"] = headers
        if owner is not UNSET:
            field_dict["owner"] = owner
        if payload is not UNSET:
            field_dict["payload"] = payload
        if rate is not UNSET:
            field_dict["rate"] = rate
        if secret is not UNSET:
            field_dict["secret"] = secret
        if template is not UNSET:
            field_dict["template"] = template
        if user_agent is not UNSET:
            field_dict["user_agent"] = user_agent

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.string_map import StringMap

        d = dict(src_dict)
        event = d.pop("event")

        target = d.pop("target")

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

        def _parse_owner(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        owner = _parse_owner(d.pop("owner", UNSET))

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

        def _parse_secret(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        secret = _parse_secret(d.pop("secret", UNSET))

        def _parse_template(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        template = _parse_template(d.pop("template", UNSET))

        def _parse_user_agent(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        user_agent = _parse_user_agent(d.pop("user_agent", UNSET))

        new_hook = cls(
            event=event,
            target=target,
            certificate=certificate,
            compress=compress,
            content=content,
            content_type=content_type,
            description=description,
            filter_=filter_,
            headers=headers,
            owner=owner,
            payload=payload,
            rate=rate,
            secret=secret,
            template=template,
            user_agent=user_agent,
        )

        return new_hook
