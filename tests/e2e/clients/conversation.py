"""The conversation that every client here has with the gateway, and what it reports of it.

Two turns, each streamed: the model is asked for the weather and calls a tool once per city; given the answers, it
speaks; asked on, it speaks again. Where the gateway is, and what is said, comes from the environment.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

#: As this client wants it: with or without ``/v1``.
BASE_URL = os.environ["WEIR_BASE_URL"]
TOKEN = os.environ["WEIR_TOKEN"]
MODEL = os.environ["WEIR_MODEL"]
#: Asks for the weather, and tells the model simulator which tool calls to make.
QUESTION = os.environ["WEIR_QUESTION"]
FOLLOW_UP = os.environ["WEIR_FOLLOW_UP"]
REGION = "eu-west-1"
MAX_TOKENS = 2048

TOOL = "get_weather"
DESCRIPTION = "The weather in a city now."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city"}},
    "required": ["city"],
    "additionalProperties": False,
}


def weather(city: str) -> str:
    """What the tool answers."""
    return f"{len(city)} degrees in {city}"


@dataclass
class Report:
    """What happened; printed as one line of JSON."""

    #: The cities that the tool was called with, in order.
    cities: list[str] = field(default_factory=list)
    #: What the model said at the end of each turn.
    texts: list[str] = field(default_factory=list)
    #: Pieces of text that came one by one.
    pieces: int = 0
    #: Why each answer ended, in the client's own words.
    stops: list[str | None] = field(default_factory=list)
    #: Input and output tokens of each answer.
    usage: list[tuple[int, int]] = field(default_factory=list)

    def call(self, city: str) -> str:
        """Notes a call of the tool, and answers it."""
        self.cities.append(city)
        return weather(city)

    def print(self) -> None:
        """For the test that started this program."""
        print(json.dumps(asdict(self)))
