# SPDX-License-Identifier: MIT
# How the libraries are put together: one OBJECT library per folder (a module), and a static and,
# where the system has such, a shared library from the same objects.

get_property(HVS_SHARED GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS)
set(HVS_MODULES "" CACHE INTERNAL "modules that have files")
set(HVS_LIBRARIES "" CACHE INTERNAL "libraries that are built")

# hvs_module(<name> [HOSTED] FILES <file>...)
#
# Objects of one folder, as target hvs_<name>. A module sees include/ and lib/ and nothing else;
# what it may include of these is checked by tests/layering. HOSTED modules may use the operating
# system. A module without files does not exist (yet).
function(hvs_module name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "HOSTED" "" "FILES")
	if(arg_UNPARSED_ARGUMENTS)
		message(FATAL_ERROR "hvs_module(${name}): what is \"${arg_UNPARSED_ARGUMENTS}\"?")
	endif()
	if(NOT arg_FILES)
		return()
	endif()
	set(target hvs_${name})
	add_library(${target} OBJECT ${arg_FILES})
	set_target_properties(${target} PROPERTIES
		POSITION_INDEPENDENT_CODE ${HVS_SHARED}
		C_VISIBILITY_PRESET hidden)
	target_include_directories(${target} PRIVATE
		"${PROJECT_SOURCE_DIR}/include"
		"${PROJECT_SOURCE_DIR}/lib")
	if(arg_HOSTED)
		target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
	else()
		# No call that the source does not make: clang turns memcmp into bcmp otherwise.
		target_compile_options(${target} PRIVATE -fno-builtin-bcmp -fno-common)
		if(HVS_FREESTANDING AND NOT HVS_INSTRUMENTED)
			target_compile_options(${target} PRIVATE
				-fno-stack-protector -U_FORTIFY_SOURCE)
		endif()
	endif()
	set(HVS_MODULES ${HVS_MODULES} ${name} CACHE INTERNAL "")
endfunction()

# hvs_library(<name> EXPORT_NAME <e> MAP <file> SOVERSION <n> HEADERS <header>...
#             MODULES <module>... [LINK <library>...] [PRIVATE <target>...])
#
# Targets <name>_static and, with HVS_SHARED, <name>; hvstack::<e>-static and hvstack::<e> in this
# tree and for users of the installed package. LINK names other libraries made by this function.
function(hvs_library name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXPORT_NAME;MAP;SOVERSION"
		"HEADERS;MODULES;LINK;PRIVATE")
	if(arg_UNPARSED_ARGUMENTS)
		message(FATAL_ERROR "hvs_library(${name}): what is \"${arg_UNPARSED_ARGUMENTS}\"?")
	endif()
	set(objects "")
	foreach(module IN LISTS arg_MODULES)
		if(module IN_LIST HVS_MODULES)
			list(APPEND objects $<TARGET_OBJECTS:hvs_${module}>)
		endif()
	endforeach()
	if(NOT objects)
		message(STATUS "${name}: no source file yet, left out")
		return()
	endif()
	list(TRANSFORM arg_HEADERS PREPEND "${PROJECT_SOURCE_DIR}/include/hvstack/")
	get_filename_component(map "${arg_MAP}" ABSOLUTE)

	add_library(${name}_static STATIC ${objects})
	add_library(hvstack::${arg_EXPORT_NAME}-static ALIAS ${name}_static)
	set_target_properties(${name}_static PROPERTIES
		LINKER_LANGUAGE C
		OUTPUT_NAME ${name}
		EXPORT_NAME ${arg_EXPORT_NAME}-static)
	target_include_directories(${name}_static INTERFACE
		$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
		$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
	list(TRANSFORM arg_LINK APPEND _static OUTPUT_VARIABLE static_link)
	target_link_libraries(${name}_static PUBLIC ${static_link} PRIVATE ${arg_PRIVATE})
	foreach(module IN LISTS arg_MODULES)
		if(module IN_LIST HVS_MODULES)
			target_link_libraries(hvs_${module} PRIVATE ${arg_PRIVATE})
		endif()
	endforeach()
	set(HVS_LIBRARIES ${HVS_LIBRARIES} ${name} CACHE INTERNAL "")
	if(NOT HVS_SHARED)
		return()
	endif()

	add_library(${name} SHARED ${objects})
	add_library(hvstack::${arg_EXPORT_NAME} ALIAS ${name})
	set_target_properties(${name} PROPERTIES
		LINKER_LANGUAGE C
		EXPORT_NAME ${arg_EXPORT_NAME}
		VERIFY_INTERFACE_HEADER_SETS ON
		SOVERSION ${arg_SOVERSION}
		VERSION ${arg_SOVERSION}.${PROJECT_VERSION_MINOR}.${PROJECT_VERSION_PATCH}
		LINK_DEPENDS "${map}")
	target_link_libraries(${name} PUBLIC ${arg_LINK} PRIVATE ${arg_PRIVATE})
	target_sources(${name} PUBLIC FILE_SET HEADERS
		BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${arg_HEADERS})
	# Sanitizer runtimes are resolved when the program is linked or loaded.
	target_link_options(${name} PRIVATE "LINKER:--version-script=${map}")
	if(NOT HVS_INSTRUMENTED)
		target_link_options(${name} PRIVATE LINKER:-z,defs)
	endif()
endfunction()
