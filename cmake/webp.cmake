# libwebp, looked up by name: Debian's package has no file for find_package.
find_library(GANFORGE_WEBP NAMES webp)
find_path(GANFORGE_WEBP_INCLUDE webp/decode.h)
if(NOT GANFORGE_WEBP OR NOT GANFORGE_WEBP_INCLUDE)
  message(FATAL_ERROR "libwebp was not found; on Debian: apt-get install libwebp-dev")
endif()
add_library(ganforge_webp INTERFACE)
target_link_libraries(ganforge_webp INTERFACE ${GANFORGE_WEBP})
target_include_directories(ganforge_webp INTERFACE $<BUILD_INTERFACE:${GANFORGE_WEBP_INCLUDE}>)
