"""Every size of a picture from one decoding of it, as files without a word of metadata in them."""

from collections.abc import Iterator
from typing import Any

from . import pixels
from .output import Output
from .rejected import Rejected
from .vips import pyvips

_WHITE = [255, 255, 255]
_ANIMATED = "webp"  # the one format of ours that moves in every browser
_WEBP_FLAGS, _WEBP_ALPHA = 20, 0x10  # https://developers.google.com/speed/webp/docs/riff_container, "VP8X"
# Of a frame that moves. Each is held four times while it is made smaller, which takes 400 MiB in all; of what is larger
# the first picture is read in a third of that.
_MOST_PIXELS = 16_000_000


def render(file: int, args: dict[str, Any], _inline: bytes, output: Output) -> dict[str, Any]:
    """Decode once, as large as the largest size is, and make each smaller one of the next larger.

    Args:
        file: Descriptor of the picture.
        args: `format`, `orientation`, `width`, `height` and `frames` of the picture as stored; `variants`, each with
            `name`, `longest` and `square`; `formats`, each with `name`, `quality` and `effort`; `max_frames` of an
            animation, and `max_pixels` of all of them together in its largest size.
        output: Takes the files.

    Returns:
        `files`, each with `variant`, `format`, `width`, `height`, `frames`, and `written`: where it lies.

    Raises:
        Rejected: `corrupt`: libvips can make nothing of it.
    """
    try:
        return {"files": list(_files(file, args, output))}
    except pyvips.Error as error:
        raise Rejected("corrupt", "the picture can't be rendered") from error


def _files(file: int, args: dict[str, Any], output: Output) -> Iterator[dict[str, Any]]:
    longest = max(_needs(variant, args["width"], args["height"]) for variant in args["variants"])
    wanted = pixels.Wanted(args["format"], args["orientation"], args["width"], args["height"], longest)
    animation = _animation(file, args, wanted)
    moving = [form for form in args["formats"] if form["name"] == _ANIMATED and len(animation) > 1]
    if moving:
        frames, delays = zip(*animation, strict=True)
        loop = pixels.repeats(file, wanted)
        yield from _all_sizes(list(frames), {"delay": list(delays), "loop": loop}, moving, args["variants"], output)
    if still := [form for form in args["formats"] if form not in moving]:
        first = animation[0][0] if animation else pixels.still(file, wanted)
        yield from _all_sizes([first], {}, still, args["variants"], output)


def _animation(file: int, args: dict[str, Any], wanted: pixels.Wanted) -> list[tuple[Any, int]]:
    """The frames, within their budget; none where one picture is all there is, or all that is wanted or affordable."""
    if (
        args["width"] * args["height"] > _MOST_PIXELS
        or args["frames"] == 1
        or all(form["name"] != _ANIMATED for form in args["formats"])
    ):
        return []
    one = args["width"] * args["height"] / wanted.shrink**2
    most = min(args["max_frames"], int(args["max_pixels"] / one))
    return list(pixels.frames(file, wanted, args["frames"], most)) if most > 1 else []


def _all_sizes(
    frames: list[Any],
    timing: dict[str, Any],
    formats: list[dict[str, Any]],
    variants: list[dict[str, Any]],
    output: Output,
) -> Iterator[dict[str, Any]]:
    """Every variant in every format, the largest first."""
    width, height = frames[0].width, frames[0].height
    made: dict[tuple[int, int, bool], list[dict[str, Any]]] = {}
    for variant in sorted(variants, key=lambda variant: _needs(variant, width, height), reverse=True):
        longest = _needs(variant, width, height)
        # What a small picture doesn't need to be made smaller for is made, and stored, once for all such variants.
        size = (*_fitted(frames[0], longest), variant["square"])
        if size not in made:
            frames = [pixels.resized(frame, size[0], size[1]).copy_memory() for frame in frames]
            shown = _cut(frames) if variant["square"] else frames
            made[size] = [
                {
                    "format": form["name"],
                    "width": shown[0].width,
                    "height": shown[0].height,
                    "frames": len(shown),
                    "written": output.write(_encoded(shown, timing, form)),
                }
                for form in formats
            ]
        yield from ({"variant": variant["name"], **each} for each in made[size])


def _needs(variant: dict[str, Any], width: int, height: int) -> float:
    """The longer side that a variant is made of, which is never longer than the picture's."""
    longer, shorter = max(width, height), min(width, height)
    side = min(variant["longest"], shorter if variant["square"] else longer)
    return side * longer / shorter if variant["square"] else side


def _fitted(image: Any, longest: float) -> tuple[int, int]:
    shrink = max(1.0, max(image.width, image.height) / longest)
    return max(1, round(image.width / shrink)), max(1, round(image.height / shrink))


def _cut(frames: list[Any]) -> list[Any]:
    """The square that attracts attention in the first frame, of every frame."""
    side = min(frames[0].width, frames[0].height)
    square = frames[0].smartcrop(side, side, interesting="attention").copy_memory()
    left, top = -square.xoffset, -square.yoffset
    return [square, *(frame.crop(left, top, side, side).copy_memory() for frame in frames[1:])]


def _encoded(frames: list[Any], timing: dict[str, Any], form: dict[str, Any]) -> bytes:
    image: Any = frames[0]
    match form["name"]:
        case "jpeg":
            opaque = image.flatten(background=_WHITE) if image.hasalpha() else image
            # Huffman tables of its own would save 2 % and cost three times the time.
            return opaque.jpegsave_buffer(Q=form["quality"], keep="none")
        case "avif":
            return image.heifsave_buffer(compression="av1", Q=form["quality"], effort=form["effort"], keep="none")
        case _:
            if len(frames) > 1:
                image = pyvips.Image.arrayjoin(_alike(frames), across=1)
                image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
                image.set_type(pyvips.GValue.array_int_type, "delay", timing["delay"])
                image.set_type(pyvips.GValue.gint_type, "loop", timing["loop"])
            content = image.webpsave_buffer(Q=form["quality"], effort=form["effort"], keep="none")
            return _said_transparent(content) if len(frames) > 1 and image.hasalpha() else content


def _alike(frames: list[Any]) -> list[Any]:
    """All with transparency, where a GIF has it from some frame on."""
    if not any(frame.hasalpha() for frame in frames):
        return frames
    return [frame if frame.hasalpha() else frame.addalpha() for frame in frames]


def _said_transparent(webp: bytes) -> bytes:
    """Mark what moves: libwebp leaves out what is transparent around a frame, and may then say that nothing is."""
    return webp[:_WEBP_FLAGS] + bytes([webp[_WEBP_FLAGS] | _WEBP_ALPHA]) + webp[_WEBP_FLAGS + 1 :]
