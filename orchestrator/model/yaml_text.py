"""Plain data as YAML text that parse_yaml reads back as the same data."""

import yaml
from pydantic import JsonValue

from orchestrator.model.yaml_tree import is_text

_INDENT = 2


class _Dumper(yaml.SafeDumper):
    """PyYAML knows YAML 1.1 only: what 1.2 would take for a number is put in quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - PyYAML's
        """List elements are indented, as people write them."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        """Every value where it stands; the parser refuses anchors."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Line ends of Unicode are plain characters to PyYAML's writer and no longer to its reader.
    plain = is_text(text) and text.isprintable()
    style = None if plain else ("|" if _is_block(text) else '"')
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_block(text: str) -> bool:
    lines = text.split("\n")
    return (
        text.endswith("\n")
        and len(lines) > 2  # noqa: PLR2004 - one line and the empty rest after it
        and all(line.isprintable() and line == line.rstrip() for line in lines)
        and not text.startswith((" ", "\n"))
    )


_Dumper.add_representer(str, _text)


def dump_yaml(data: JsonValue) -> str:
    """Block style, keys in their order."""
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        indent=_INDENT,
        width=1_000_000,
    )
    return text
