// ganforge data: what is in a data set, and data sets in one file.
#include "src/cli/commands.h"
#include "src/cli/load_data.h"
#include "src/cli/open_device.h"
#include "src/data/summary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <charconv>
#include <memory>

namespace ganforge {
namespace {

struct DataArguments {
  std::optional<std::string> source, out;
  std::optional<std::int64_t> channels;
  std::int64_t height = 0, width = 0;
  bool skip_bad = false, test = false, json = false;
};

/// "64", or "48x64": height and width.
Setter set_size(DataArguments& to) {
  return [&to](const std::string& text) {
    const char* const end = text.data() + text.size();
    const auto [middle, error] = std::from_chars(text.data(), end, to.height);
    bool whole = error == std::errc() && (middle == end || *middle == 'x');
    to.width = to.height;
    if (whole && middle != end) {
      const auto [last, second_error] = std::from_chars(middle + 1, end, to.width);
      whole = second_error == std::errc() && last == end;
    }
    constexpr std::int64_t largest = 16384;
    if (!whole || to.height < 1 || to.width < 1 || to.height > largest || to.width > largest)
      throw UsageError(
          fmt::format("must be a number of pixels, or HEIGHTxWIDTH, each from 1 to {}, got '{}'", largest, text));
  };
}

Setter set_packed_path(std::optional<std::string>& to) {
  return [&to](const std::string& text) {
    if (!text.ends_with(".gfd")) throw UsageError(fmt::format("must be a name that ends in .gfd, got '{}'", text));
    to = text;
  };
}

Setter set_channels(std::optional<std::int64_t>& to) {
  return [&to](const std::string& text) {
    if (text != "1" && text != "3") throw UsageError(fmt::format("must be 1 (grey) or 3 (RGB), got '{}'", text));
    to = text == "1" ? 1 : 3;
  };
}

DatasetOptions options_of(const DataArguments& a) {
  return {.train = !a.test,
          .height = a.height,
          .width = a.width,
          .channels = a.channels.value_or(0),
          .convert = true,
          .skip_bad = a.skip_bad,
          .progress = decoding_progress()};
}

int convert(const DataArguments& a) {
  const HostDataset data = find_dataset(*a.source, options_of(a));
  write_packed(*a.out, data);
  print_notices(data.notes);
  fmt::print("{}: {} images {}{}\n", *a.out, data.count, data.sample.str(),
             data.classes.empty() ? "" : fmt::format(", {} classes", data.classes.size()));
  return 0;
}

std::string text_of(const DatasetSummary::Side& side) {
  return side.smallest == side.largest ? fmt::format("{}", side.largest)
                                       : fmt::format("{} to {}", side.smallest, side.largest);
}

void print(const DatasetSummary& s) {
  fmt::print("{:<10}{}\n{:<10}{}\n{:<10}{}\n", "name", s.name, "format", s.format, "images", s.count);
  fmt::print("{:<10}{}\n{:<10}{}\n{:<10}{}\n", "height", text_of(s.height), "width", text_of(s.width), "channels",
             s.channels);
  fmt::print("{:<10}{:.4f}\n{:<10}{:.4f}\n", "mean", fmt::join(s.mean, " "), "std", fmt::join(s.std, " "));
  fmt::print("{:<10}{}\n", "classes", s.classes.empty() ? "none" : fmt::format("{}", s.classes.size()));
  for (std::size_t i = 0; i < s.classes.size(); ++i)
    fmt::print("{:>8}  {:<24}{}\n", i, s.classes[i].first, s.classes[i].second);
  for (const std::string& note : s.notes) fmt::print("{:<10}{}\n", "note", note);
}

nlohmann::ordered_json json_of(const DatasetSummary& s) {
  nlohmann::ordered_json classes = nlohmann::ordered_json::array();
  for (const auto& [name, count] : s.classes) classes.push_back({{"name", name}, {"images", count}});
  return {{"name", s.name},
          {"format", s.format},
          {"images", s.count},
          {"height", {s.height.smallest, s.height.largest}},
          {"width", {s.width.smallest, s.width.largest}},
          {"channels", s.channels},
          {"mean", s.mean},
          {"std", s.std},
          {"classes", classes},
          {"notes", s.notes}};
}

int inspect(const DataArguments& a) {
  const DatasetSummary summary = summarize_dataset(*a.source, options_of(a));
  if (a.json)
    fmt::print("{}\n", json_of(summary).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    print(summary);
  return 0;
}

constexpr auto sources =
    "a folder of PNG, JPEG or WebP images (sub-folders are classes), a name, or a file or folder: IDX, CIFAR-10, NPY, "
    ".gfd";

Flag skip_bad_flag(DataArguments& a) {
  return {"--skip-bad", "", "leaves out images that cannot be read, instead of stopping", set_true(a.skip_bad)};
}
Flag test_flag(DataArguments& a) {
  return {"--test", "", "the part for testing (t10k-, test_batch) of MNIST's and CIFAR-10's kind", set_true(a.test)};
}

}  // namespace

Command data_convert_command() {
  const auto a = std::make_shared<DataArguments>();
  Command command;
  command.name = "data convert";
  command.summary = "packs a data set into one .gfd file, cropped and resized if wanted";
  command.examples =
      "  ganforge data convert photos photos-64.gfd --size 64\n"
      "  ganforge data convert cifar-10 cifar-28-grey.gfd --size 28 --channels 1\n"
      "  ganforge train --preset dcgan-64 --data photos-64.gfd\n";
  command.positionals = {{"SOURCE", sources, set_text(a->source)},
                         {"OUT", "the file to write, NAME.gfd", set_packed_path(a->out)}};
  command.groups = {
      {"Flags",
       {{"--size", "N|HxW", "crops around the centre and resizes to so many pixels (default: the images' own size)",
         set_size(*a)},
        {"--channels", "1|3", "grey or RGB (default: RGB if any image has colour)", set_channels(a->channels)},
        skip_bad_flag(*a),
        test_flag(*a)}}};
  command.run = [a](const std::vector<std::string>&) { return convert(*a); };
  return command;
}

Command data_inspect_command() {
  const auto a = std::make_shared<DataArguments>();
  Command command;
  command.name = "data inspect";
  command.summary = "shows count, sizes, channels, classes, mean and deviation of a data set";
  command.examples =
      "  ganforge data inspect fashion-mnist\n"
      "  ganforge data inspect photos --skip-bad --json\n";
  command.positionals = {{"SOURCE", sources, set_text(a->source)}};
  command.groups = {
      {"Flags", {skip_bad_flag(*a), test_flag(*a), {"--json", "", "prints one JSON object", set_true(a->json)}}}};
  command.run = [a](const std::vector<std::string>&) { return inspect(*a); };
  return command;
}

}  // namespace ganforge
