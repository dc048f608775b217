"""libvips as decoders may use it: few loaders, one thread that computes, nothing remembered of a file for the next."""

import os

# Read when the library starts. Two children keep two cores busy; threads of one wait for each other, and each takes
# memory. Set here, since a child has no environment.
os.environ["VIPS_CONCURRENCY"] = "1"
os.environ["VIPS_BLOCK_UNTRUSTED"] = "1"

import pyvips

# Of the loaders that are left those of the types that are let in: no SVG, no raw, no CSV, no libvips format.
LOADERS = ("Jpeg", "Png", "Nsgif", "Webp", "Heif", "Tiff")

pyvips.operation_block_set("VipsForeignLoad", True)
for _name in LOADERS:
    pyvips.operation_block_set(f"VipsForeignLoad{_name}", False)
pyvips.cache_set_max(0)

__all__ = ["pyvips"]
