from enum import StrEnum


class DeliveryState(StrEnum):
    DEAD = "dead"
    DELIVERED = "delivered"
    PARKED = "parked"

    def __str__(self) -> str:
        return str(self.value)
