#include "src/cli/open_device.h"

#include <ganforge/gan.h>

#include <fmt/format.h>

#include <cstdio>

namespace ganforge {

FlagGroup device_flags(DeviceArguments& arguments) {
  return {"Where",
          {{"--device", "DEVICE", "auto, cpu or cuda (default auto: a GPU where there is one)",
            set_choice(arguments.device, {"auto", "cpu", "cuda"})},
           {"--threads", "N", "threads of the CPU (default: all cores)", set_whole(arguments.threads, 1, 1024)}}};
}

Flag precision_flag(std::string& precision) {
  return {"--precision", "KIND", "products on a GPU: fp32, tf32 or bf16, on tensor cores (default fp32)",
          set_choice(precision, precision_names())};
}

Device open_device(const DeviceArguments& arguments, std::vector<std::string>& notices) {
  const int threads = static_cast<int>(arguments.threads.value_or(0));
  if (arguments.device == "cpu") return Device::cpu(threads);
  if (arguments.device == "cuda") {
    try {
      return Device::cuda();
    } catch (const DeviceError& error) {
      throw DeviceError(fmt::format("--device cuda: {}; --device cpu runs without a GPU", error.what()));
    }
  }
  std::string why;
  Device device = Device::best(threads, &why);
  if (!why.empty()) notices.push_back("using the CPU: " + why);
  return device;
}

void print_notices(const std::vector<std::string>& notices) {
  for (const std::string& notice : notices) fmt::print(stderr, "ganforge: {}\n", notice);
}

std::map<std::string, std::string> describe(Device& device) {
  if (device.is_cuda()) return {{"device", device.name()}, {"threads", ""}, {"isa", ""}};
  const auto& cpu = std::get<CpuStream>(device.stream());
  return {{"device", "CPU"}, {"threads", std::to_string(cpu.threads)}, {"isa", name_of(cpu.isa)}};
}

}  // namespace ganforge
