"""A browser in memory: what each address shows, drawn as a picture; and where the arms answer."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from activities.eyes_port import Arm
from activities.ports import Health
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.eyes import Viewport

Colour = tuple[int, int, int]


@dataclass
class Browser:
    """The port `Eyes`. `shows`: how many columns of a page are dark, by its address and the look."""

    shows: Callable[[str, int], int] = lambda address, look: 0
    on: bool = True
    looks: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Address → why it can't be seen."""

    def picture(self, origin: str, path: str, viewport: Viewport) -> bytes:
        address = f"{origin}{path}"
        if address in self.broken:
            raise Unavailable(self.broken[address])
        self.looks.append(address)
        picture = Image.new("RGB", (viewport.width, viewport.height), (255, 255, 255))
        dark = self.shows(address, self.looks.count(address))
        if dark:
            ImageDraw.Draw(picture).rectangle((0, 0, dark - 1, viewport.height - 1), fill=(0, 0, 0))
        content = io.BytesIO()
        picture.save(content, format="PNG")
        return content.getvalue()

    def health(self) -> Health:
        return Health(ok=True, detail="in memory")


@dataclass
class Arms:
    """The port `ArmAddresses`: stable and canary have names."""

    running: bool = True

    def origin(self, service: str, arm: Arm, sha: str) -> str:
        if not self.running:
            raise NotFound(f"{sha[:12]} of {service} does not run in production")
        return f"http://{arm}"

    def health(self) -> Health:
        return Health(ok=True, detail="in memory")
