"""The program of a decoder child. Imports the standard library and decoders alone, and itself relatively.

It runs inside the sandbox, where the rest of Tidegate does not exist.
"""
