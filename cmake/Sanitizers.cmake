# SPDX-License-Identifier: MIT
# Sanitizers, coverage and fuzzing: instrumentation of everything in this tree.

set(HVS_INSTRUMENTED OFF)

if(HVS_SANITIZE)
	string(REPLACE " " "," HVS_SANITIZE "${HVS_SANITIZE}")
	string(REPLACE "," ";" sanitizers "${HVS_SANITIZE}")
	foreach(s IN LISTS sanitizers)
		if(NOT s MATCHES "^(address|undefined|thread)$")
			message(FATAL_ERROR "HVS_SANITIZE=${HVS_SANITIZE}: no sanitizer \"${s}\"")
		endif()
	endforeach()
	if("thread" IN_LIST sanitizers AND "address" IN_LIST sanitizers)
		message(FATAL_ERROR "HVS_SANITIZE: thread and address exclude each other")
	endif()
	# Without -fno-sanitize-recover, clang prints what UBSan finds and goes on.
	set(sanitize_flags -fsanitize=${HVS_SANITIZE} -fno-sanitize-recover=all
		-fno-omit-frame-pointer)
	add_compile_options(${sanitize_flags} -fno-optimize-sibling-calls)
	add_link_options(${sanitize_flags})
	set(HVS_INSTRUMENTED ON)
endif()

if(HVS_FUZZ)
	enable_language(CXX) # an engine may be C++
	# Reads of guest memory let the fuzz target change it first (mem/guestptr.h).
	add_compile_definitions(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
	set(HVS_INSTRUMENTED ON)
endif()

if(HVS_COVERAGE)
	add_compile_options(--coverage -fprofile-abs-path)
	add_link_options(--coverage)
	set(HVS_INSTRUMENTED ON)
endif()

# Is a sanitizer on? hvs_sanitizing(thread result)
function(hvs_sanitizing name result)
	string(REPLACE "," ";" sanitizers "${HVS_SANITIZE}")
	set(${result} OFF PARENT_SCOPE)
	if(name IN_LIST sanitizers)
		set(${result} ON PARENT_SCOPE)
	endif()
endfunction()
