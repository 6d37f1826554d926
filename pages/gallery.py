"""The gallery: every shipped gin file, what it is, and what came out of it."""

from pages import GIN_CONFIGS


def gallery_page() -> str:
    lines = ["# Gallery", ""]
    for path in sorted(GIN_CONFIGS.glob("*.gin")):
        lines += ["", f"## {path.name} {{ #{path.stem} }}"]
    return "\n".join(lines) + "\n"
