"""Words of strangers (file names, reasons, error messages) as text that a terminal or a log can take.

Raw, a file name could forge a line on an operator's screen, turn its letters around or send the terminal commands.
"""


def printable(text: object) -> str:
    r"""One line in which everything that isn't a visible character or a space stands as its escape, as `\x1b`.

    `str.isprintable` refuses line ends, control and format characters (the bidirectional ones among them), unpaired
    surrogates, and spaces other than the plain one.
    """
    written = str(text)
    if written.isprintable():
        return written
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in written)


def printable_lines(text: object) -> str:
    """The same for what has lines of its own, such as a traceback: their ends stay."""
    return "\n".join(printable(line.expandtabs()) for line in str(text).split("\n"))
