from enum import StrEnum


class WaitsFor(StrEnum):
    ANSWER = "answer"
    ENDPOINT = "endpoint"
    HOOK_DISABLED = "hook_disabled"
    HOOK_GONE = "hook_gone"
    HOOK_INVALID = "hook_invalid"
    LANE = "lane"
    PROXY = "proxy"
    QUOTA = "quota"
    RATE = "rate"
    RESUME = "resume"
    ROWHOOK = "rowhook"
    SCHEDULE = "schedule"
    TURN = "turn"

    def __str__(self) -> str:
        return str(self.value)
