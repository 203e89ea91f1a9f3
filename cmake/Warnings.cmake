# SPDX-License-Identifier: MIT
# Warnings for everything in this tree. Directory scope: none of it reaches an installed target.

add_compile_options(
	-Wall
	-Wextra
	-Wpedantic
	-Wcast-align
	-Wconversion
	-Wdouble-promotion
	-Wformat=2
	-Wimplicit-fallthrough
	-Wmissing-declarations
	$<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
	$<$<COMPILE_LANGUAGE:C>:-Wold-style-definition>
	-Wpointer-arith
	-Wshadow
	-Wsign-conversion
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
	-Wswitch
	-Wundef
	-Wunused
	-Wvla
	-Wwrite-strings)

if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	add_compile_options(
		-Walloca
		-Wduplicated-cond
		$<$<COMPILE_LANGUAGE:C>:-Wjump-misses-init>
		-Wlogical-op)
else()
	# A header of macros alone is fine, also when it is compiled alone.
	add_compile_options(-Wcomma -Wextra-semi-stmt -Wunreachable-code -Wno-empty-translation-unit)
endif()

if(HVS_WERROR)
	add_compile_options(-Werror)
endif()
