# The OpenMP build of OpenBLAS: on one OpenMP thread it works on the thread that calls it, and several may do so.
find_library(GANFORGE_OPENBLAS NAMES libopenblas.a openblas
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
find_library(GANFORGE_OPENBLAS NAMES openblas)
find_path(GANFORGE_OPENBLAS_INCLUDE cblas.h
          PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
find_path(GANFORGE_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas)
if(NOT GANFORGE_OPENBLAS OR NOT GANFORGE_OPENBLAS_INCLUDE)
  message(FATAL_ERROR "OpenBLAS was not found; on Debian: apt-get install libopenblas-openmp-dev")
endif()
add_library(ganforge_openblas INTERFACE)
target_link_libraries(ganforge_openblas INTERFACE ${GANFORGE_OPENBLAS} $<LINK_ONLY:OpenMP::OpenMP_CXX>)
target_include_directories(ganforge_openblas INTERFACE $<BUILD_INTERFACE:${GANFORGE_OPENBLAS_INCLUDE}>)
