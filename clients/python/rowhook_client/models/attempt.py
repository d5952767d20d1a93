from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.any_object import AnyObject
    from ..models.content import Content


T = TypeVar("T", bound="Attempt")


@_attrs_define
class Attempt:
    """One request, and how it was answered.

    Attributes:
        delivered (bool): Whether it was accepted.
        error (None | str): Why there was no response.
        method (None | str): The method of the request, if that is known.
        number (int): The number of the attempt in its delivery, from 1.
        request_body (Content | None):
        request_headers (AnyObject): An object with any keys.
        response_body (Content | None):
        response_headers (AnyObject | None): The headers of the response.
        started_at (str): When it began.
        status (int | None): The HTTP status; null if there was no response.
        took_ms (float): How long it took, in milliseconds.
        url (str): The URL, without credentials.
    """

    delivered: bool
    error: None | str
    method: None | str
    number: int
    request_body: Content | None
    request_headers: AnyObject
    response_body: Content | None
    response_headers: AnyObject | None
    started_at: str
    status: int | None
    took_ms: float
    url: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.any_object import AnyObject
        from ..models.content import Content

        delivered = self.delivered

        error: None | str
        error = self.error

        method: None | str
        method = self.method

        number = self.number

        request_body: dict[str, Any] | None
        if isinstance(self.request_body, Content):
            request_body = self.request_body.to_dict()
        else:
            request_body = self.request_body

        request_headers = self.request_headers.to_dict()

        response_body: dict[str, Any] | None
        if isinstance(self.response_body, Content):
            response_body = self.response_body.to_dict()
        else:
            response_body = self.response_body

        response_headers: dict[str, Any] | None
        if isinstance(self.response_headers, AnyObject):
            response_headers = self.response_headers.to_dict()
        else:
            response_headers = self.response_headers

        started_at = self.started_at

        status: int | None
        status = self.status

        took_ms = self.took_ms

        url = self.url

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "delivered": delivered,
                "error": error,
                "method": method,
                "number": number,
                "request_body": request_body,
                "request_headers": request_headers,
                "response_body": response_body,
                "response_headers": response_headers,
                "started_at": started_at,
                "status": status,
                "took_ms": took_ms,
                "url": url,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.any_object import AnyObject
        from ..models.content import Content

        d = dict(src_dict)
        delivered = d.pop("delivered")

        def _parse_error(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        error = _parse_error(d.pop("error"))

        def _parse_method(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        method = _parse_method(d.pop("method"))

        number = d.pop("number")

        def _parse_request_body(data: object) -> Content | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                request_body_type_0 = Content.from_dict(data)

                return request_body_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Content | None, data)

        request_body = _parse_request_body(d.pop("request_body"))

        request_headers = AnyObject.from_dict(d.pop("request_headers"))

        def _parse_response_body(data: object) -> Content | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                response_body_type_0 = Content.from_dict(data)

                return response_body_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Content | None, data)

        response_body = _parse_response_body(d.pop("response_body"))

        def _parse_response_headers(data: object) -> AnyObject | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                response_headers_type_0 = AnyObject.from_dict(data)

                return response_headers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AnyObject | None, data)

        response_headers = _parse_response_headers(d.pop("response_headers"))

        started_at = d.pop("started_at")

        def _parse_status(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        status = _parse_status(d.pop("status"))

        took_ms = d.pop("took_ms")

        url = d.pop("url")

        attempt = cls(
            delivered=delivered,
            error=error,
            method=method,
            number=number,
            request_body=request_body,
            request_headers=request_headers,
            response_body=response_body,
            response_headers=response_headers,
            started_at=started_at,
            status=status,
            took_ms=took_ms,
            url=url,
        )

        attempt.additional_properties = d
        return attempt

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
