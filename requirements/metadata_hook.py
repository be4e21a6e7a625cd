"""Takes the package's dependencies from the `.in` files, so that each is named once."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

HERE = Path(__file__).parent


def names(file: str) -> list[str]:
    """The requirement lines of one `.in` file, without comments and includes."""
    lines = (HERE / file).read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", "-"))]


class RequirementFiles(MetadataHookInterface):
    def update(self, metadata: dict) -> None:
        metadata["dependencies"] = names("runtime.in")
        metadata["optional-dependencies"] = {"dev": names("dev.in"), "browser": names("browser.in")}
