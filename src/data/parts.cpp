#include "src/data/parts.h"

#include "src/core/nearest.h"
#include "src/data/find_dataset.h"
#include "src/data/sha256.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <optional>
#include <random>

namespace ganforge {
namespace {

constexpr std::int64_t smallest_share = 5, largest_part = 10'000;

std::string digest_of(const HostDataset& data) {
  Sha256 sha;
  sha.add(data.pixels.data(), data.pixels.size());
  sha.add(data.labels.data(), data.labels.size() * sizeof(std::int32_t));
  return sha.finish();
}

/// Lower-case letters and digits alone.
std::string plain(const std::string& name) {
  std::string text;
  for (const char c : name)
    if (std::isalnum(static_cast<unsigned char>(c)))
      text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::optional<std::int32_t> class_of(const std::string& name, const std::vector<std::string>& classes) {
  const auto same = std::ranges::find(classes, plain(name), plain);
  if (same != classes.end()) return static_cast<std::int32_t>(same - classes.begin());
  std::int32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 0) return std::nullopt;
  return static_cast<std::size_t>(number) < classes.size() ? std::optional(number) : std::nullopt;
}

}  // namespace

HostDataset subset(const HostDataset& data, std::span<const std::int64_t> samples) {
  const std::size_t bytes = data.count > 0 ? data.pixels.size() / static_cast<std::size_t>(data.count) : 0;
  HostDataset part{.name = data.name,
                   .sample = data.sample,
                   .count = static_cast<std::int64_t>(samples.size()),
                   .pixels = {},
                   .labels = {},
                   .classes = data.classes,
                   .format = data.format,
                   .type = data.type};
  std::vector<std::uint8_t> pixels;
  pixels.reserve(samples.size() * bytes);
  for (const std::int64_t i : samples) {
    const std::uint8_t* from = data.pixels.data() + static_cast<std::size_t>(i) * bytes;
    pixels.insert(pixels.end(), from, from + bytes);
    if (!data.labels.empty()) part.labels.push_back(data.labels[static_cast<std::size_t>(i)]);
  }
  part.pixels = std::move(pixels);
  return part;
}

HostDataset draw_subset(const HostDataset& data, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(data.count));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 engine(seed);
  // Fisher and Yates; std::shuffle may differ from library to library.
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  order.resize(std::min(order.size(), static_cast<std::size_t>(count)));
  return subset(data, order);
}

HostDataset joined(const HostDataset& data, const HostDataset& more) {
  if (more.sample != data.sample || more.type != data.type)
    throw ShapeError(fmt::format("{} has images {}, but those of {} are {}", more.name, more.sample.str(), data.name,
                                 data.sample.str()));
  if (more.labels.empty())
    throw FormatError(fmt::format("{} has no labels: images lie in sub-folders named by their class", more.name));
  std::vector<std::int32_t> renumbered;
  for (const std::string& name : more.classes) {
    const auto number = class_of(name, data.classes);
    if (!number) {
      const std::string guess = nearest(name, data.classes);
      throw FormatError(fmt::format("{}: {} has no class '{}'{}; they are {}", more.name, data.name, name,
                                    guess.empty() ? "" : fmt::format(" (did you mean {}?)", guess),
                                    fmt::join(data.classes, ", ")));
    }
    renumbered.push_back(*number);
  }
  HostDataset both = data;
  both.count += more.count;
  std::vector<std::uint8_t> pixels(data.pixels.begin(), data.pixels.end());
  pixels.insert(pixels.end(), more.pixels.begin(), more.pixels.end());
  both.pixels = std::move(pixels);
  for (const std::int32_t label : more.labels) both.labels.push_back(renumbered[static_cast<std::size_t>(label)]);
  return both;
}

DataParts data_parts(const std::string& name_or_path, const DatasetOptions& options) {
  DatasetOptions wanted = options;
  wanted.train = true;
  const HostDataset all = find_dataset(name_or_path, wanted);
  DataParts parts;
  parts.digest = digest_of(all);
  parts.own_test = has_test_part(name_or_path);
  const std::int64_t every = std::max(smallest_share, (all.count + largest_part - 1) / largest_part);
  std::vector<std::int64_t> train, held_out, test, seen(std::max<std::size_t>(all.classes.size(), 1));
  for (std::int64_t i = 0; i < all.count; ++i) {
    const std::size_t c = all.labels.empty() ? 0 : static_cast<std::size_t>(all.labels[static_cast<std::size_t>(i)]);
    const std::int64_t turn = seen[c]++ % every;
    (turn == 0 ? held_out : turn == 1 && !parts.own_test ? test : train).push_back(i);
  }
  parts.train = subset(all, train);
  parts.held_out = subset(all, held_out);
  if (parts.own_test) {
    wanted.train = false;
    parts.test = find_dataset(name_or_path, wanted);
  } else {
    parts.test = subset(all, test);
  }
  if (parts.train.count == 0 || parts.test.count == 0)
    throw ConfigError(fmt::format("{}: {} images are too few to divide into parts", all.name, all.count));
  return parts;
}

}  // namespace ganforge
