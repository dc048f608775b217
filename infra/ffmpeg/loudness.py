"""How loud a sound is, and what brings it to another loudness.

Measured by FFmpeg's `ebur128` (EBU R128, ITU-R BS.1770): a sine of 1 kHz in both channels with a peak of -23 dBFS has
-23.0 LUFS (EBU Tech 3341, case 1). One channel counts as what two loudspeakers play, so that speech in mono is not
taken for 3 LU less than the same in stereo.

Brought to a target by one gain for the whole sound, so that quiet parts stay quiet. Where a peak would rise above the
ceiling, a limiter with foresight holds that moment back, at four times the rate, since a true peak lies between samples
(BS.1770, annex 2). FFmpeg's `loudnorm` does the rest of what it does by changing the gain all the time, which is heard.
"""

import math
import re

from schemas.renditions import Loudness

METER = "ebur128=framelog=verbose:peak=true:dualmono=true"
"""A filter that lets the sound through and says at its end how loud it was."""

SILENCE_LUFS = -60.0
"""What is quieter is the noise of a silent room: making it louder helps nobody."""
RANGE_SECONDS = 60.0
LIMITER_RATE = 192_000
OVERSHOOT_DB = 0.5  # what coming back from the limiter's rate can add, as measured of clicks and noise

_SUMMARY = re.compile(
    r"Summary:\s+Integrated loudness:\s+I:\s+(\S+) LUFS\s.*?LRA:\s+(\S+) LU\s.*?Peak:\s+(\S+) dBFS", re.DOTALL
)
_GATE_LUFS = -70.0  # no block was louder, or there was none of 0.4 s


def measured(complained: str, seconds: float) -> Loudness | None:
    """Read what the meter said.

    Args:
        complained: FFmpeg's standard error, at `-v info`.
        seconds: How long the sound is.

    Returns:
        None of silence, of less than 0.4 s, and of a file that changes its format within: FFmpeg begins anew then, and
        measures parts.
    """
    # FFmpeg builds its graph once for trying, and that meter speaks as well: of nothing.
    heard = [said for said in map(_summary, _SUMMARY.findall(complained)) if said[0] > _GATE_LUFS]
    if len(heard) != 1:
        return None
    integrated, spread, peak = heard[0]
    known = math.isfinite(spread) and seconds >= RANGE_SECONDS
    return Loudness(integrated_lufs=integrated, range_lu=spread if known else None, true_peak_dbtp=peak)


def gained(gain: float, peak: float, ceiling: float) -> str:
    """Filters that raise a sound by so many dB, and keep it below the ceiling.

    Args:
        gain: In dB; below zero: it is lowered.
        peak: The sound's own true peak in dBTP.
        ceiling: Its highest one afterwards.
    """
    raised = f"volume={gain:.2f}dB"
    if peak + gain <= ceiling:
        return raised
    limit = 10 ** ((ceiling - OVERSHOOT_DB) / 20)
    limiter = f"alimiter=limit={limit:.5f}:level=false:attack=5:release=50:latency=true"
    return f"{raised},aresample={LIMITER_RATE},{limiter}"


def _summary(said: tuple[str, str, str]) -> tuple[float, float, float]:
    try:
        integrated, spread, peak = map(float, said)
    except ValueError:
        return -math.inf, 0.0, 0.0
    return (integrated, spread, peak) if math.isfinite(integrated) and math.isfinite(peak) else (-math.inf, 0.0, 0.0)
