from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Asked")


@_attrs_define
class Asked:
    """What the hooks of an event say.

    Attributes:
        allowed (bool): Whether it may be done.
        hook (None | str): The hook that refuses, or whose silence does; null where it is allowed.
        reason (None | str): Why, as far as the hook says so.
        silent (bool): Whether a hook has not answered, so that its silence has decided.
    """

    allowed: bool
    hook: None | str
    reason: None | str
    silent: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        allowed = self.allowed

        hook: None | str
        hook = self.hook

        reason: None | str
        reason = self.reason

        silent = self.silent

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "allowed": allowed,
                "hook": hook,
                "reason": reason,
                "silent": silent,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        allowed = d.pop("allowed")

        def _parse_hook(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        hook = _parse_hook(d.pop("hook"))

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        silent = d.pop("silent")

        asked = cls(
            allowed=allowed,
            hook=hook,
            reason=reason,
            silent=silent,
        )

        asked.additional_properties = d
        return asked

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
