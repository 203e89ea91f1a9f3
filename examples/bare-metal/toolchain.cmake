# SPDX-License-Identifier: MIT
# What x86_64.cmake and aarch64.cmake have in common: clang and lld, no operating system, no C library.

set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_C_COMPILER clang)
set(CMAKE_C_COMPILER_TARGET ${CMAKE_SYSTEM_PROCESSOR}-none-elf)
set(CMAKE_ASM_COMPILER clang)
set(CMAKE_ASM_COMPILER_TARGET ${CMAKE_C_COMPILER_TARGET})
set(CMAKE_AR llvm-ar)
set(CMAKE_RANLIB llvm-ranlib)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

# Of system headers, only the compiler's own and the three in include/.
set(CMAKE_C_FLAGS_INIT "-ffreestanding -nostdlibinc -isystem ${CMAKE_CURRENT_LIST_DIR}/include \
-mgeneral-regs-only -ffunction-sections ${arch_flags}")
set(CMAKE_C_LINK_EXECUTABLE
	"ld.lld -nostdlib --gc-sections <LINK_FLAGS> <OBJECTS> -o <TARGET> <LINK_LIBRARIES>")
set(CMAKE_ASM_LINK_EXECUTABLE "${CMAKE_C_LINK_EXECUTABLE}")
