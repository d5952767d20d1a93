from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.content import Content


T = TypeVar("T", bound="TestResult")


@_attrs_define
class TestResult:
    """How a target answered a test.

    Attributes:
        answer (str): The answer in a few words: `200`, `timed out after 15s`.
        delivered (bool): Whether the target accepted it.
        id (str): The `webhook-id` of the test.
        request_body (Content): A body, as text.
        response_body (Content | None):
        status (int | None): The HTTP status; null if there was no response.
        took_ms (float): How long it took, in milliseconds.
    """

    answer: str
    delivered: bool
    id: str
    request_body: Content
    response_body: Content | None
    status: int | None
    took_ms: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.content import Content

        answer = self.answer

        delivered = self.delivered

        id = self.id

        request_body = self.request_body.to_dict()

        response_body: dict[str, Any] | None
        if isinstance(self.response_body, Content):
            response_body = self.response_body.to_dict()
        else:
            response_body = self.response_body

        status: int | None
        status = self.status

        took_ms = self.took_ms

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "answer": answer,
                "delivered": delivered,
                "id": id,
                "request_body": request_body,
                "response_body": response_body,
                "status": status,
                "took_ms": took_ms,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.content import Content

        d = dict(src_dict)
        answer = d.pop("answer")

        delivered = d.pop("delivered")

        id = d.pop("id")

        request_body = Content.from_dict(d.pop("request_body"))

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

        def _parse_status(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        status = _parse_status(d.pop("status"))

        took_ms = d.pop("took_ms")

        test_result = cls(
            answer=answer,
            delivered=delivered,
            id=id,
            request_body=request_body,
            response_body=response_body,
            status=status,
            took_ms=took_ms,
        )

        test_result.additional_properties = d
        return test_result

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
