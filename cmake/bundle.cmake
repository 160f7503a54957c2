# `cpack` of the preset `bundle`: an archive that runs where glibc 2.34, libstdc++ of GCC 11 and, for the GPU, the NVIDIA driver,
# cuBLASLt 13 and cuDNN 9 are, or newer. The other shared objects are in lib/ganforge, and the programs find them by their own place.
set(bundled lib/ganforge)
foreach(program ganforge_program ganforge_bench)
  set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/../${bundled}")
  # DT_RPATH rather than DT_RUNPATH: it holds for what the libraries need in turn.
  target_link_options(${program} PRIVATE LINKER:--disable-new-dtags)
endforeach()
install(TARGETS ganforge_program ganforge_bench RUNTIME_DEPENDENCY_SET needed RUNTIME DESTINATION bin)
# Debian's libstdc++ would ask for a newer glibc than all the rest: it is the machine's, as libgcc_s is.
install(RUNTIME_DEPENDENCY_SET needed DESTINATION ${bundled}
        PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|stdc\\+\\+|gcc_s)\\.so")
install(FILES README.md LICENSE DESTINATION share/doc/ganforge)
install(FILES bench/README.md DESTINATION share/doc/ganforge RENAME bench.md)
install(FILES docs/gpu-results.md docs/architecture.md DESTINATION share/doc/ganforge)
install(PROGRAMS scripts/gpu-check.sh DESTINATION share/ganforge)
install(DIRECTORY bench/peers DESTINATION share/ganforge FILES_MATCHING PATTERN "*.py")
install(CODE "set(BUNDLED \"\${CMAKE_INSTALL_PREFIX}/${bundled}\")
              set(DOC \"\${CMAKE_INSTALL_PREFIX}/share/doc/ganforge/licences\")
              set(BUILT_IN \"${GANFORGE_OPENBLAS};${CLI11_DIR};${GANFORGE_TOMLPLUSPLUS}/toml++/toml.h;${GANFORGE_EIGEN}/Eigen/Eigenvalues;${nlohmann_json_DIR};${fmt_DIR}\")
              set(CUDA_RUNTIME \"${GANFORGE_CUDART_LIBRARY}\")")
install(SCRIPT cmake/bundle_licences.cmake)

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_FILE_NAME "ganforge-${PROJECT_VERSION}-linux-x86_64")
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
