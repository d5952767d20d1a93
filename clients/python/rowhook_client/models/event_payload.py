from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.any_object import AnyObject


T = TypeVar("T", bound="EventPayload")


@_attrs_define
class EventPayload:
    """The body of an event in one payload format.

    Attributes:
        content_type (str): The content type of the body. Example: application/json.
        example (AnyObject): An object with any keys.
        schema (AnyObject): An object with any keys.
    """

    content_type: str
    example: AnyObject
    schema: AnyObject
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        content_type = self.content_type

        example = self.example.to_dict()

        schema = self.schema.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "content_type": content_type,
                "example": example,
                "schema": schema,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.any_object import AnyObject

        d = dict(src_dict)
        content_type = d.pop("content_type")

        example = AnyObject.from_dict(d.pop("example"))

        schema = AnyObject.from_dict(d.pop("schema"))

        event_payload = cls(
            content_type=content_type,
            example=example,
            schema=schema,
        )

        event_payload.additional_properties = d
        return event_payload

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
