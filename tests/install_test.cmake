# cmake --install into an empty prefix; then a program outside the project builds against it, by CMake and by pkg-config, and runs.
# Wants BUILD (the build tree), SOURCE, GENERATOR, CXX, CXX_FLAGS.
set(prefix ${BUILD}/install_test/prefix)
set(work ${BUILD}/install_test/consumer)
file(REMOVE_RECURSE ${BUILD}/install_test)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
  message(STATUS "${output}")
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
run(${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE}/tests/consumer -B ${work}
    -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_CXX_COMPILER=${CXX}
    "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${work})
run(${work}/consumer)

file(GLOB_RECURSE pc ${prefix}/*/ganforge.pc)
get_filename_component(pc_folder ${pc} DIRECTORY)
run(sh -c "${CXX} ${CXX_FLAGS} ${SOURCE}/tests/consumer/main.cpp -o ${work}/by_pkg_config $(PKG_CONFIG_PATH=${pc_folder} pkg-config --cflags --libs ganforge)")
run(${work}/by_pkg_config)

# Headers stand alone: no CUDA, no third-party header.
file(GLOB headers ${prefix}/include/ganforge/*.h)
foreach(header IN LISTS headers)
  file(STRINGS ${header} foreign REGEX "#include (\"|<(cuda|cublas|cudnn|fmt|nlohmann|toml|CLI|png|zlib))")
  if(foreign)
    message(FATAL_ERROR "${header}: ${foreign}")
  endif()
endforeach()
