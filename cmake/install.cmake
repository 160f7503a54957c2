# cmake --install: library, headers, program, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)

set(ganforge_targets ganforge ganforge_openblas ganforge_onednn ganforge_webp)
if(GANFORGE_WITH_CUDA)
  list(APPEND ganforge_targets ganforge_cudart)
endif()
install(TARGETS ${ganforge_targets} EXPORT ganforgeTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ganforge DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_BINARY_DIR}/include/ganforge/config.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ganforge)
if(GANFORGE_BUNDLE)
  include(cmake/bundle.cmake)
elseif(TARGET ganforge_program)
  install(TARGETS ganforge_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ganforge)
install(EXPORT ganforgeTargets NAMESPACE ganforge:: DESTINATION ${package_dir})
configure_package_config_file(cmake/ganforgeConfig.cmake.in ${PROJECT_BINARY_DIR}/ganforgeConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ganforgeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ganforgeConfig.cmake ${PROJECT_BINARY_DIR}/ganforgeConfigVersion.cmake
        DESTINATION ${package_dir})

set(ganforge_pc_libraries "${GANFORGE_OPENBLAS} ${GANFORGE_ONEDNN}")
if(GANFORGE_WITH_CUDA)
  string(APPEND ganforge_pc_libraries " ${GANFORGE_CUDART_LIBRARY} -lpthread -lrt")
endif()
file(RELATIVE_PATH GANFORGE_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/ganforge.pc.in ${PROJECT_BINARY_DIR}/ganforge.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ganforge.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
