// The devices that tests of whole graphs run on.
#pragma once

#include <ganforge/device.h>
#include <ganforge/error.h>

#include <cstdlib>
#include <string_view>
#include <vector>

namespace ganforge {

/// The CPU, and the GPU where there is one; GANFORGE_REQUIRE_CUDA=1 in the environment makes its absence an error.
inline std::vector<Device>& devices() {
  static std::vector<Device> all = [] {
    std::vector<Device> list;
    list.push_back(Device::cpu(2));
#if GANFORGE_CUDA
    const char* require = std::getenv("GANFORGE_REQUIRE_CUDA");
    try {
      list.push_back(Device::cuda());
    } catch (const DeviceError&) {
      if (require && std::string_view(require) == "1") throw;
    }
#endif
    return list;
  }();
  return all;
}

}  // namespace ganforge
