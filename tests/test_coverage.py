"""The coverage page must be what the program says of itself."""

import pathlib

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "coverage.md"


def told_by_page():
    services, current = {}, None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            current = services.setdefault(line[3:], {})
        elif current is not None and line.startswith("| ") and not line.startswith("| Operation"):
            name, state = (cell.strip() for cell in line.strip("|").split("|"))
            current[name] = state
    return services


def told_by_program(cloud):
    def text(state):
        refused = state.get("parameters_refused")
        return state["status"] + (f"; refuses {', '.join(refused)}" if refused else "")

    return {
        service: {name: text(state) for name, state in operations.items()}
        for service, operations in cloud.page("coverage").items()
    }


def test_the_page_is_true(cloud):
    assert told_by_page() == told_by_program(cloud), "run `make coverage`"
