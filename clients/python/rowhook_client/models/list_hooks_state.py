from enum import StrEnum


class ListHooksState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"
    FAILING = "failing"
    INVALID = "invalid"

    def __str__(self) -> str:
        return str(self.value)
