# SPDX-License-Identifier: MIT
# Installation: libraries, headers, pkg-config files and the CMake package.

include(CMakePackageConfigHelpers)

set(cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/hvstack")

# Export sets are apart, so that a user of the core need not have what the others depend on.
foreach(library IN LISTS HVS_LIBRARIES)
	set(sets ${library}_static)
	if(HVS_SHARED)
		install(TARGETS ${library} EXPORT ${library}_shared
			LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
			FILE_SET HEADERS)
		list(PREPEND sets ${library}_shared)
	endif()
	install(TARGETS ${library}_static EXPORT ${library}_static
		ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
	foreach(set IN LISTS sets)
		install(EXPORT ${set} NAMESPACE hvstack:: FILE ${set}.cmake
			DESTINATION ${cmake_dir})
	endforeach()

	configure_file("${PROJECT_SOURCE_DIR}/pkgconfig/${library}.pc.in" ${library}.pc @ONLY)
	install(FILES "${PROJECT_BINARY_DIR}/${library}.pc"
		DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

if(NOT HVS_SHARED)
	install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/hvstack"
		DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} PATTERN host EXCLUDE)
endif()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/hvstackConfig.cmake.in"
	hvstackConfig.cmake INSTALL_DESTINATION ${cmake_dir})
# While the version is 0.x, a minor release may break.
write_basic_package_version_file(hvstackConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
	"${PROJECT_BINARY_DIR}/hvstackConfig.cmake"
	"${PROJECT_BINARY_DIR}/hvstackConfigVersion.cmake"
	DESTINATION ${cmake_dir})

install(FILES "${PROJECT_SOURCE_DIR}/docs/man/libhvstack.3"
	DESTINATION "${CMAKE_INSTALL_MANDIR}/man3")
