"""One file per scenario: its docstring says what happens, run(lab) does it. See ../README.md."""
