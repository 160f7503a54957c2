// The device that the flags ask for.
#pragma once

#include "src/cli/arguments.h"

#include <ganforge/device.h>

#include <map>

namespace ganforge {

struct DeviceArguments {
  std::string device = "auto";
  std::optional<std::int64_t> threads;
};
FlagGroup device_flags(DeviceArguments& arguments);

/// Says on stderr why `auto` ends on the CPU. Throws DeviceError, with a hint, if there is no GPU but one was asked
/// for.
Device open_device(const DeviceArguments& arguments);

/// What the last bits of a result depend on: device, threads, isa.
std::map<std::string, std::string> describe(Device& device);

}  // namespace ganforge
