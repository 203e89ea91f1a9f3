# SPDX-License-Identifier: MIT
"""Only what pyproject.toml can't say yet: the module that cffi compiles."""

from setuptools import setup

setup(cffi_modules=["build_native.py:ffi"])
