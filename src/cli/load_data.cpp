#include "src/cli/load_data.h"

#include "src/cli/synthetic.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace ganforge {

std::function<void(std::int64_t, std::int64_t)> decoding_progress() {
  if (::isatty(STDERR_FILENO) == 0) return {};
  using Clock = std::chrono::steady_clock;
  // Short work needs no line. The cursor stays at its begin: whatever is printed next replaces it.
  return [pause = std::chrono::milliseconds(200), next = Clock::now() + std::chrono::milliseconds(200), shown = false](
             std::int64_t done, std::int64_t total) mutable {
    const Clock::time_point now = Clock::now();
    if (done < total && now >= next) {
      fmt::print(stderr, "reading images: {} of {}\033[K\r", done, total);
      next = now + pause;
      shown = true;
    }
    if (done == total && shown) fmt::print(stderr, "\033[K");
    std::fflush(stderr);
  };
}

Flag data_memory_flag(Residency& to) {
  return {"--data-memory", "WHERE",
          "of data on a GPU: auto (device up to half of its free memory), device or host, which streams (default auto)",
          [&to](const std::string& text) {
            std::string where;
            set_choice(where, {"auto", "device", "host"})(text);
            to = where == "auto" ? Residency::automatic : where == "device" ? Residency::device : Residency::host;
          }};
}

void notice_residency(const Dataset& data, std::vector<std::string>& notices) {
  if (!data.streamed()) return;
  notices.push_back(fmt::format("{}: {} bytes stay in host memory; each batch is copied while the step before it runs",
                                data.name(), data.host_pixels().size()));
}

namespace {

/// The flags of `data convert` that turn images `have` into images `want`.
std::string conversion(const Shape& have, const Shape& want) {
  std::string flags;
  if (have[0] != want[0] || have[1] != want[1])
    flags += want[0] == want[1] ? fmt::format(" --size {}", want[0]) : fmt::format(" --size {}x{}", want[0], want[1]);
  if (have[2] != want[2]) flags += fmt::format(" --channels {}", want[2]);
  return flags;
}

}  // namespace

HostDataset load_data(const Config& config, const std::string& source, bool channels_follow,
                      std::vector<std::string>& notices) {
  Shape made;
  try {
    made = generated_sample(config);
    Config other = config;
    channels_follow = channels_follow && set_image_channels(other, made[-1]);
  } catch (const ShapeError& error) {
    throw ShapeError(fmt::format("{}: {}", source, error.what()));
  }
  DatasetOptions options{.skip_bad = config.skip_bad, .progress = decoding_progress()};
  const bool images = made.rank() == 3 && (made[2] == 1 || made[2] == 3);
  if (images) {
    options.height = made[0];
    options.width = made[1];
    options.channels = channels_follow ? 0 : made[2];
  }
  if (config.data.empty())
    throw ConfigError(
        fmt::format("{} brings no data: name a data set, or the path of a folder of images, with --data", source));
  HostDataset data = find_dataset(config.data, options);
  const Shape wanted = images && channels_follow ? made.with(2, data.sample[2]) : made;
  if (images && data.sample != wanted)
    throw ShapeError(
        fmt::format("{}: the model makes images {}, but those of {} are {}; `ganforge data convert {} OUT.gfd{}` "
                    "makes them fit",
                    source, wanted.str(), data.name, data.sample.str(), config.data, conversion(data.sample, wanted)));
  if (data.format == "packed") return data;  // its notes were said when it was made
  for (const std::string& note : data.notes) notices.push_back(fmt::format("{}: {}", data.name, note));
  return data;
}

}  // namespace ganforge
