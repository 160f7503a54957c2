// ganforge info: what there is on this machine and in this program.
#include "src/cli/commands.h"

#include <ganforge/device.h>
#include <ganforge/gan.h>

#include <CLI/Version.hpp>
#include <cblas.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <oneapi/dnnl/dnnl.h>
#include <png.h>
#include <webp/decode.h>
#include <zlib.h>

#include <cstdio>  // before jpeglib.h, which needs it

#include <jpeglib.h>

namespace ganforge {
namespace {

std::string gpu_line() {
  try {
    const Device device = Device::cuda();
    return fmt::format(
        "{} (precision {})", device.name(),
        device.supports(Precision::tf32) ? fmt::format("{}", fmt::join(precision_names(), ", ")) : "fp32");
  } catch (const DeviceError& error) {
    return fmt::format("none: {}", error.what());
  }
}

/// "OpenBLAS 0.3.21 …" → "OpenBLAS 0.3.21"
std::string openblas_version() {
  std::string text = openblas_get_config();
  const std::size_t space = text.find(' ');
  return text.substr(0, space == std::string::npos ? space : text.find(' ', space + 1));
}

std::string onednn_version() {
  const dnnl_version_t& version = *dnnl_version();
  return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}

std::string jpeg_version() {
#ifdef LIBJPEG_TURBO_VERSION_NUMBER
  return fmt::format("libjpeg-turbo {}.{}.{}", LIBJPEG_TURBO_VERSION_NUMBER / 1'000'000,
                     LIBJPEG_TURBO_VERSION_NUMBER / 1000 % 1000, LIBJPEG_TURBO_VERSION_NUMBER % 1000);
#else
  return fmt::format("libjpeg {}.{}", JPEG_LIB_VERSION / 10, JPEG_LIB_VERSION % 10);
#endif
}

std::string webp_version() {
  const int version = WebPGetDecoderVersion();
  return fmt::format("{}.{}.{}", version >> 16, version >> 8 & 255, version & 255);
}

int info() {
  fmt::print("ganforge {}\n\nDevices\n", GANFORGE_VERSION);
  fmt::print("  cpu   {} (instruction set {})\n", Device::cpu().name(), name_of(detect_isa()));
  fmt::print("  cuda  {}\n", gpu_line());
  fmt::print("\nLibraries\n  CUDA backend {}\n  {}, oneDNN {}\n  libpng {}, {}, libwebp {}, zlib {}\n",
             GANFORGE_CUDA ? "built in" : "not built in", openblas_version(), onednn_version(),
             png_get_libpng_ver(nullptr), jpeg_version(), webp_version(), zlibVersion());
  fmt::print("  fmt {}.{}.{}, nlohmann-json {}.{}.{}, CLI11 {}\n", FMT_VERSION / 10000, FMT_VERSION / 100 % 100,
             FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH,
             CLI11_VERSION);
  fmt::print("\nPresets (`ganforge info --preset NAME` prints one as TOML)\n");
  for (const std::string& name : preset_names()) fmt::print("  {:<17}{}\n", name, preset(name).description);
  fmt::print("\nData sets by name: {}\n", fmt::join(dataset_names(), ", "));
  return 0;
}

}  // namespace

Command info_command() {
  const auto chosen = std::make_shared<std::optional<std::string>>();
  Command command;
  command.name = "info";
  command.summary = "lists devices, libraries, presets and data sets";
  command.examples =
      "  ganforge info\n"
      "  ganforge info --preset seed-dense > my.toml     a configuration for `ganforge train --config my.toml`\n";
  command.groups = {{"Flags", {{"--preset", "NAME", "prints this preset as TOML instead", set_preset(*chosen)}}}};
  command.run = [chosen](const std::vector<std::string>&) {
    if (!*chosen) return info();
    fmt::print("{}", to_toml(preset(**chosen)));
    return 0;
  };
  return command;
}

}  // namespace ganforge
