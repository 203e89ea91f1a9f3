# SPDX-License-Identifier: MIT
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(arch_flags -mno-red-zone) # interrupts use the stack they find
include("${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake")
