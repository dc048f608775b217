"""What is made of sounds."""

from functions.audio.draw_waveform import draw_long_waveform, draw_waveform
from functions.audio.read_tags import read_tags
from functions.audio.render_sound import render_long_sound, render_sound

__all__ = ["draw_long_waveform", "draw_waveform", "read_tags", "render_long_sound", "render_sound"]
