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
Flag precision_flag(std::string& precision);

/// `notices` receives a line about why `auto` ends on the CPU. Throws DeviceError, with a hint, if there is no GPU but
/// one was asked for.
Device open_device(const DeviceArguments& arguments, std::vector<std::string>& notices);

/// To stderr, once it is clear that the command will do its work: an error stands alone there.
void print_notices(const std::vector<std::string>& notices);

/// What the last bits of a result depend on: device, threads, isa.
std::map<std::string, std::string> describe(Device& device);

}  // namespace ganforge
