#include "src/cli/metrics_file.h"

#include "src/data/svg.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <fstream>
#include <limits>
#include <system_error>

namespace ganforge {
namespace {

/// The shortest text that reads back as the same number: equal numbers have equal text. JSON has no NaN.
template <class T>
std::string json_number(T value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& path) : path_(path) {
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail("write", errno);
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(file_);
    throw FormatError(fmt::format("{} is being written by another process: is this run still going?", path_.string()));
  }
}

MetricsFile::~MetricsFile() {
  ::close(file_);
}

void MetricsFile::cut_back(std::int64_t step) {
  std::ifstream in(path_, std::ios::binary);
  for (std::string line; std::getline(in, line) && !in.eof();) {  // at its end: a line without '\n'
    const auto row = nlohmann::json::parse(line, nullptr, false);
    if (row.is_object() && row.contains("step") && row["step"].is_number_integer()) {
      if (row["step"].get<std::int64_t>() > step) break;
      const auto number = [&](const char* key) {
        return row.contains(key) && row[key].is_number() ? row[key].get<double>()
                                                         : std::numeric_limits<double>::quiet_NaN();
      };
      if (row.contains("d_loss"))
        note(row["step"].get<std::int64_t>(), number("d_loss"), number("g_loss"), number("seconds"));
    }
    size_ += static_cast<std::int64_t>(line.size()) + 1;
  }
  if (::ftruncate(file_, size_) != 0) fail("shorten", errno);
}

void MetricsFile::append(const Stats& stats, double images_per_s, double seconds) {
  std::string more;  // what only some models report
  const auto add = [&more](const char* key, const std::optional<float>& value) {
    if (value) more += fmt::format(R"("{}":{},)", key, json_number(*value));
  };
  add("class_loss", stats.class_loss);
  add("class_accuracy", stats.class_accuracy);
  add("class_agreement", stats.class_agreement);
  add("code_loss", stats.code_loss);
  // A tenth of an image and a millisecond are precise enough.
  const std::string line = fmt::format(
      R"({{"step":{},"images":{},"d_loss":{},"g_loss":{},"d_real":{},"d_fake":{},"d_accuracy":{},"penalty":{},{}"images_per_s":{:.1f},"seconds":{:.3f}}})"
      "\n",
      stats.step, stats.images, json_number(stats.d_loss), json_number(stats.g_loss), json_number(stats.d_real),
      json_number(stats.d_fake), json_number(stats.d_accuracy), json_number(stats.penalty), more, images_per_s, seconds);
  write_line(line);
  note(stats.step, static_cast<double>(stats.d_loss), static_cast<double>(stats.g_loss), seconds);
}

void MetricsFile::append_metrics(std::int64_t step, std::int64_t images,
                                 const std::vector<std::pair<std::string, double>>& metrics, double seconds) {
  std::string line = fmt::format(R"({{"step":{},"images":{})", step, images);
  for (const auto& [name, value] : metrics) line += fmt::format(R"(,"{}":{})", name, json_number(value));
  write_line(line + fmt::format(",\"seconds\":{:.3f}}}\n", seconds));
}

void MetricsFile::write_line(const std::string& line) {
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t written = ::write(file_, line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error = errno;
      if (::ftruncate(file_, size_) != 0) fail("shorten", errno);
      fail("write", error);
    }
    done += static_cast<std::size_t>(written);
  }
  size_ += static_cast<std::int64_t>(line.size());
}

void MetricsFile::flush() {
  if (::fsync(file_) != 0) fail("write", errno);
}

void MetricsFile::write_losses(const std::filesystem::path& path, const std::string& title) const {
  const Series series[] = {{"discriminator", steps_, d_losses_}, {"generator", steps_, g_losses_}};
  write_line_chart(path, {title, "step", "loss"}, series);
}

void MetricsFile::note(std::int64_t step, double d_loss, double g_loss, double seconds) {
  steps_.push_back(static_cast<double>(step));
  d_losses_.push_back(d_loss);
  g_losses_.push_back(g_loss);
  if (std::isfinite(seconds)) seconds_ = seconds;
}

void MetricsFile::fail(const char* doing, int error) const {
  throw FormatError(fmt::format("cannot {} {}: {}", doing, path_.string(), std::generic_category().message(error)));
}

}  // namespace ganforge
