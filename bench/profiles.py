"""What an installation promises while it is measured."""

from typing import Final

from schemas.model import Kind
from schemas.renditions import PRODUCTS

_FIELDS: Final[dict[Kind, str]] = {"image": "IMAGES", "video": "VIDEO", "audio": "AUDIO", "document": "DOCUMENTS"}

NOTHING: Final = {
    f"TIDEGATE_{field}__{product}".upper(): "none" for kind, field in _FIELDS.items() for product in PRODUCTS[kind]
}
"""Variables with which `ready` follows `promoted`: for measuring the way in alone."""


def only(*products: str) -> dict[str, str]:
    """Variables with which these products are required and no others promised."""
    return {name: "required" if name.rpartition("__")[2].lower() in products else "none" for name in NOTHING}
