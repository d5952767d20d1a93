from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="HookCounts")


@_attrs_define
class HookCounts:
    """How many hooks there are, by state.

    Attributes:
        active (int): Those that get events.
        failing (int): Those whose latest attempts have all failed. They are active too.
        inactive (int): Those that are switched off.
        invalid (int): Those that cannot be used.
    """

    active: int
    failing: int
    inactive: int
    invalid: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        active = self.active

        failing = self.failing

        inactive = self.inactive

        invalid = self.invalid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "active": active,
                "failing": failing,
                "inactive": inactive,
                "invalid": invalid,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        active = d.pop("active")

        failing = d.pop("failing")

        inactive = d.pop("inactive")

        invalid = d.pop("invalid")

        hook_counts = cls(
            active=active,
            failing=failing,
            inactive=inactive,
            invalid=invalid,
        )

        hook_counts.additional_properties = d
        return hook_counts

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
