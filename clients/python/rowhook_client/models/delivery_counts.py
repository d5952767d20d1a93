from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="DeliveryCounts")


@_attrs_define
class DeliveryCounts:
    """How many deliveries the table holds.

    Attributes:
        dead (int): Those that were given up.
        oldest_parked_seconds (float | None): The age of the oldest parked one since its commit, in seconds.
        parked (int): Those that wait for another attempt.
    """

    dead: int
    oldest_parked_seconds: float | None
    parked: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        dead = self.dead

        oldest_parked_seconds: float | None
        oldest_parked_seconds = self.oldest_parked_seconds

        parked = self.parked

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "dead": dead,
                "oldest_parked_seconds": oldest_parked_seconds,
                "parked": parked,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        dead = d.pop("dead")

        def _parse_oldest_parked_seconds(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        oldest_parked_seconds = _parse_oldest_parked_seconds(
            d.pop("oldest_parked_seconds")
        )

        parked = d.pop("parked")

        delivery_counts = cls(
            dead=dead,
            oldest_parked_seconds=oldest_parked_seconds,
            parked=parked,
        )

        delivery_counts.additional_properties = d
        return delivery_counts

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
