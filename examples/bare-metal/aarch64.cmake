# SPDX-License-Identifier: MIT
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(arch_flags -mcpu=cortex-a57)
include("${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake")
