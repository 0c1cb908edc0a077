"""The door bell: tells twistd that there is a service called nettool, and where it is built."""

from twisted.application.service import ServiceMaker

# Never rename this variable: twistd's plugin cache refers to it by name, and a stale cache would break upgrades.
nettoolServiceMaker = ServiceMaker(
    "nettool",
    "nettool.tap",
    "A network node that routes lines of text between named peers.",
    "nettool",
)
