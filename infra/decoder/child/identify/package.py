"""Which program an Office Open XML package is for: the content type of its main part, in `[Content_Types].xml`.

ECMA-376 part 2, 10.1.2.
"""

from xml.parsers import expat

_OOXML = "application/vnd.openxmlformats-officedocument."
_MAIN = {
    _OOXML + "wordprocessingml.document.main+xml": _OOXML + "wordprocessingml.document",
    _OOXML + "wordprocessingml.template.main+xml": _OOXML + "wordprocessingml.template",
    _OOXML + "spreadsheetml.sheet.main+xml": _OOXML + "spreadsheetml.sheet",
    _OOXML + "spreadsheetml.template.main+xml": _OOXML + "spreadsheetml.template",
    _OOXML + "presentationml.presentation.main+xml": _OOXML + "presentationml.presentation",
    _OOXML + "presentationml.slideshow.main+xml": _OOXML + "presentationml.slideshow",
    _OOXML + "presentationml.template.main+xml": _OOXML + "presentationml.template",
}
_MAIN_PART = ".main+xml"
_VBA = "application/vnd.ms-office.vbaproject"
_PROGRAMS = {"word": "word", "spreadsheet": "excel", "presentation": "powerpoint"}
_OTHER = "application/zip"


class _Doctype(Exception):
    pass


def judge(xml: bytes, *, whole: bool) -> str:
    """Say which it is.

    Args:
        xml: The list of content types, or its beginning.
        whole: Whether that is all of it: what was cut is no error.

    Returns:
        The document's content type, `application/vnd.ms-word.document.macroenabled.12` and the like where it carries a
        program, `application/zip` for another program's package or for two main parts.
    """
    found: set[str] = set()

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(" ")[2] in {"Override", "Default"}:
            found.add(attributes.get("ContentType", "").strip())

    def doctype(*_: object) -> None:
        raise _Doctype

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(xml, whole)
    except (expat.ExpatError, _Doctype):
        return _OTHER
    mains = {_MAIN[each] for each in found if each in _MAIN}
    lower = {each.lower() for each in found}
    macros = {f"{each.removesuffix(_MAIN_PART)}.12" for each in lower if "macroenabled" in each and _MAIN_PART in each}
    if len(mains | macros) != 1:
        return _OTHER
    (content_type,) = mains | macros
    return with_macros(content_type) if mains and _VBA in lower else content_type


def with_macros(content_type: str) -> str:
    """Name a document that carries a program: what its format calls it, or else what it would be without."""
    for part, program in _PROGRAMS.items():
        if content_type.startswith(_OOXML + part):
            kind = content_type.rpartition(".")[2]
            return f"application/vnd.ms-{program}.{kind}.macroenabled.12"
    return content_type if "macroenabled" in content_type else f"{content_type}-with-macros"
