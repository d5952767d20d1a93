from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ReplayCounts")


@_attrs_define
class ReplayCounts:
    """How many deliveries are sent again.

    Attributes:
        repeated (int): Delivered ones that are being sent again.
        revived (int): Dead deliveries that are being sent again.
        unrecorded (int): Delivered ones that cannot be sent again, because history did not keep their body or their
            position.
    """

    repeated: int
    revived: int
    unrecorded: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        repeated = self.repeated

        revived = self.revived

        unrecorded = self.unrecorded

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "repeated": repeated,
                "revived": revived,
                "unrecorded": unrecorded,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        repeated = d.pop("repeated")

        revived = d.pop("revived")

        unrecorded = d.pop("unrecorded")

        replay_counts = cls(
            repeated=repeated,
            revived=revived,
            unrecorded=unrecorded,
        )

        replay_counts.additional_properties = d
        return replay_counts

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
